"""Prompts that stand in a recipe: `dataset tone = ["…", "…"]`, `extract diffmean from "I love you" vs "I hate you"`.

In: a text or a list. Out: its texts, or a reference to the data set that they are.
"""

from __future__ import annotations

from steerdsl.lang import nodes
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.paths import ending
from steerdsl.lang.nodes import Text
from steerdsl.lang.recipe import DataRef, DataSpec
from steerdsl.registry import entries

FILES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")  # of data
OTHER_FILES = (".xlsx", ".gz", ".zip", ".md", ".yaml", ".pkl", ".arrow")
PROMPTS = "prompts of the recipe"  # the source of such a data set, in words
MOST_INLINE = 10_000


def texts(ctx: Context, prompts: nodes.List) -> tuple[str, ...] | None:
    """The prompts of a list, of which there is at least one; None after a message."""
    if not prompts.items or len(prompts.items) > MOST_INLINE:
        title = "this list has no prompt" if not prompts.items else f"a list has at most {MOST_INLINE:,} prompts"
        help = 'write its prompts, as in `["What is bread?", "Who bakes it?"]`'
        ctx.error("S441", title, prompts, help=help if not prompts.items else "write them into a file, one a line")
        return None
    found = [values.text(ctx, item, "a prompt") for item in prompts.items]
    for item, said in zip(prompts.items, found, strict=True):
        if said is not None and not said.strip():
            ctx.error("S441", "this prompt is empty", item, help="write a text, or leave it out")
    own = tuple(text for text in found if text)
    return own if len(own) == len(found) else None


def inline(ctx: Context, value: Text | nodes.List) -> DataRef | None:
    """Prompts in the place of a data set's name: a data set without a name, all of which is used. The same prompts
    are the same data set."""
    if isinstance(value, Text) and _is_name(ctx, value):
        return None
    own = texts(ctx, value if isinstance(value, nodes.List) else nodes.List((value,), span=value.span))
    if own is None:
        return None
    same = next((spec for spec in ctx.shared.data.values() if spec.texts == own and not spec.held_out), None)
    if same is None:
        base = "prompts" if len(own) > 1 else "prompt"
        name = ctx.scope.fresh(base)
        while name in ctx.shared.data:  # of a block that has ended
            name = ctx.scope.fresh(base)
        same = DataSpec(name, "inline", PROMPTS, held_out=0.0, texts=own, span=value.span)
        ctx.shared.data[name] = same
    return DataRef(same.name, "all", None, "all of its prompts", span=value.span)


def _is_name(ctx: Context, text: Text) -> bool:
    """Whether a text is the name of a data set or of a file, which would be asked as a prompt; reported."""
    first = text.value.partition(".")[0]
    symbol = ctx.scope.symbols.get(first)
    if (symbol is not None and symbol.kind == "data") or first in entries("data"):
        help = f'write `{text.value}`; for a prompt of this one word, a list: `["{text.value}"]`'
        ctx.error("S444", f"`{text.value}` is a data set, and in quotes it is a prompt", text, help=help)
        return True
    if ending(text.value) in (*FILES, *OTHER_FILES) and " " not in text.value:
        help = f'name it first: `dataset d = "{text.value}"`'
        ctx.error("S444", f"`{text.value}` is a file, and here it is a prompt", text, help=help)
        return True
    return False
