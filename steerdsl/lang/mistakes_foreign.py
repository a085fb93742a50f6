"""Spellings that people bring from Python, from hooks and from other tools.

In: a `Failure`. Out: a `Mistake` whose help is the statement as this language writes it, or None where
the rule does not recognise the case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lark import Token

from steerdsl.lang.build import token_span
from steerdsl.lang.failure import Failure, Mistake, fail_at
from steerdsl.lang.grammar import MEASURE, SOFT, VERB, keywords
from steerdsl.lang.wording import quote, spelt, touch

STRENGTHS = frozenset(
    ("alpha", "amount", "coef", "coeff", "coefficient", "factor", "lambda", "multiplier", "scale", "strength", "weight")
)
MEASURES = {
    **dict.fromkeys(("sd", "sds", "std", "stds", "stdev", "stddev", "sigma", "sigmas", "deviations"), "sd"),
    **dict.fromkeys(("dose", "doses"), "dose"),
}
JSON = r"""[\[{]\s*("|[\[{]\s*")"""
PYTHON = r"(from [\w.]+ import |import [\w.]+( as \w+)?$|def \w+\(|with torch|class \w+[(:])"
YAML = r"\s*(- )*[A-Za-z_][\w -]*:(\s|$)|\s*- "
COMMENTS = ("//", "/*", "*/", "--", "<!", "%%", "'''")
# A module's path as TransformerLens and transformers write it, and the stream that it is here.
HOOK = re.compile(
    r"(?:model\.|transformer\.|gpt_neox\.|decoder\.)*(?:blocks|layers|h)\.(?P<layer>\d+)(?:\.(?P<rest>.*))?"
)
STREAMS = (
    (r"(hook_)?resid_pre|input_layernorm|ln_1", "resid_pre"),
    (r"(hook_)?resid_mid", "resid_mid"),
    (r"(hook_)?attn_out|(self_)?attn(\.hook_out)?|attention", "attn_out"),
    (r"(hook_)?mlp_out|mlp(\.hook_out)?", "mlp_out"),
)
HEADS = r"attn\.hook_(z|result)|self_attn\.o_proj"
# Words that people put where `at` belongs: "in layer 12", "every layer".
IN = frozenset({"in", "of", "for", "into", "on"})
# Words that join the parts of a statement, the likeliest first.
JOINING = ("FROM", "VS", "OF", "LAYERS", "BY", "TO", "OVER", "ON", "WITH")
LAST = ("QUANTITY", "NAME", "RPAR", MEASURE)  # what the value before a measure ends with
LISTED = ("QUANTITY", "COMMA", "DOTDOT")  # tokens of a list of layers
NEAR = 4  # tokens before the failure that are looked at
WHOLE = frozenset({"all", "every", "each", "any"})


def other_language(text: str) -> str | None:
    """The language of a whole file that is not a recipe: JSON, YAML or Python; None if it is unclear."""
    start = text.lstrip()
    if re.match(JSON, start):
        return "JSON"
    lines = [line for line in start.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and re.match(PYTHON, lines[0]):
        return "Python"
    pairs = sum(bool(re.match(YAML, line)) for line in lines)
    return "YAML" if start.startswith("---") or (pairs > 1 and pairs * 2 > len(lines)) else None


def foreign_comment(f: Failure) -> Mistake | None:
    """`// hi`, `/* hi */`, `-- hi`."""
    if f.token is None:
        return None
    at = 0 if f.at < 2 else f.at
    start = spelt(f.tokens[at : at + 2])
    sign = next((sign for sign in COMMENTS if start.startswith(sign)), None)
    if sign is None:
        return None
    return Mistake("S113", f"`{sign}` does not begin a comment", token_span(f.tokens[at]), "a comment begins with `#`")


def hook_path(f: Failure) -> Mistake | None:
    """`on blocks.12.hook_resid_pre`, `on model.layers.12.mlp`."""
    if f.kind != "BAD" or f.token != "." or f.before is None or f.before.type != "NAME":
        return None
    end = f.at
    while end < len(f.tokens) and touch(f.tokens[end - 1], f.tokens[end]):
        end += 1
    path = str(f.before) + "".join(f.tokens[f.at : end])
    span = token_span(f.before).to(token_span(f.tokens[end - 1]))
    match = HOOK.fullmatch(path)
    title = f"{quote(path)} is the name of a module, not of a stream"
    if match is None:
        return Mistake("S140", title, span, "write a stream, as in `on resid_post at layers 12`")
    rest, layer = match["rest"] or "", match["layer"]
    stream = next((stream for form, stream in STREAMS if re.fullmatch(form, rest)), "resid_post")
    if re.fullmatch(HEADS, rest):
        return Mistake("S140", title, span, f"write `head({layer}, 0)` for the first of its heads")
    placed = any(t.type in ("LAYER", "LAYERS") for t in f.tokens)
    where = "" if placed else f" at layers {layer}"
    return Mistake("S140", title, span, f"write `{'' if where == '' else 'on '}{stream}{where}`")


def layers_in_brackets(f: Failure) -> Mistake | None:
    """`at 12`, `at 6, 16`, `at [6, 16, 22]`, `at layers (6, 16)`: `at` without what the numbers count, or brackets."""
    at = next((i for i in range(f.at, max(0, f.at - 5), -1) if f.tokens[i - 1].type in ("AT", "LAYER", "LAYERS")), None)
    if at is None or at >= len(f.tokens):
        return None
    bracket = f.tokens[at].type in ("LSQB", "LPAR")
    end = at + bracket
    while end < len(f.tokens) and f.tokens[end].type in LISTED:
        end += 1
    given = "".join(f.tokens[at + bracket : end]) or "6,16,22"
    help = f"write `at layers {given}`"
    if f.tokens[at - 1].type == "AT":
        if f.at != at or not (bracket or f.kind == "QUANTITY"):
            return None
        help += "; a position in the prompt has a name, such as `at last_token`"
        return Mistake("S124", "`at` needs to know what the number counts", f.span, help)
    first = at - 2 if f.tokens[at - 2].type == "AT" else at - 1
    span = token_span(f.tokens[first]).to(
        token_span(f.tokens[min(end, len(f.tokens) - 1)] if bracket else f.tokens[end - 1])
    )
    if bracket:
        return Mistake("S124", "layers are listed without brackets", span, help) if f.at > at else None
    numbers = [str(t) for t in f.tokens[at:end] if t.type == "QUANTITY"]
    if f.kind != "QUANTITY" or len(numbers) < 2 or "DOTDOT" in (t.type for t in f.tokens[at:end]):
        return None
    return Mistake("S110", "layers are listed with commas", span, f"write `at layers {','.join(numbers)}`")


def range_of_layers(f: Failure) -> Mistake | None:
    """`10:20`, `10–20`, `10 to 20` in a list of layers."""
    after = f.tokens[f.at + 1] if f.at + 1 < len(f.tokens) else None
    if f.before is None or f.before.type != "QUANTITY" or after is None or after.type != "QUANTITY":
        return None
    if f.kind != "COLON" and f.token not in ("–", "—", "−", "~"):
        return None
    if "DOTDOT" not in f.expected:
        return None
    span = token_span(f.before).to(token_span(after))
    return Mistake("S141", "a range is written with two dots", span, f"write `{f.before}..{after}`, both ends included")


def late_operand(f: Failure) -> Mistake | None:
    """`ablate at layers 12 topic`, `add 40% topic`: the vector comes right after the verb."""
    if f.head != VERB or f.kind != "NAME" or f.at < 2:
        return None
    end = f.at + 1
    while end < len(f.tokens) and f.tokens[end].type in ("LSQB", "LPAR"):
        closing = "RSQB" if f.tokens[end].type == "LSQB" else "RPAR"
        end = next((i + 1 for i in range(end, len(f.tokens)) if f.tokens[i].type == closing), len(f.tokens))
    verb, given, operand, rest = f.tokens[:1], f.tokens[1 : f.at], f.tokens[f.at : end], f.tokens[end:]
    if given[0].type == "QUANTITY":  # `add 40% topic`
        given = [Token.new_borrow_pos("BY", "by", given[0]), *given]
    repaired = [*verb, *operand, *given, *rest]
    if not _parses(repaired):
        return None
    span = token_span(operand[0]).to(token_span(operand[-1]))
    text = " ".join(filter(None, map(spelt, (verb, operand, given, rest))))
    return Mistake("S142", f"what `{verb[0]}` acts with comes right after it", span, f"write `{text}`")


def strength_as_option(f: Failure) -> Mistake | None:
    """`add topic alpha=2`, `add topic strength: 2`, `add topic with strength 2`."""
    i = f.at if f.kind == "NAME" else f.at - 1
    if f.head != VERB or i + 1 >= len(f.tokens) or f.tokens[i].lower() not in STRENGTHS:
        return None
    at = i + 1 + (f.tokens[i + 1].type in ("EQUAL", "COLON"))
    last = at + (at < len(f.tokens) and f.tokens[at].type == "MINUS")
    if last >= len(f.tokens) or f.tokens[last].type != "QUANTITY":
        return None
    value = "".join(f.tokens[at : last + 1])
    first = i - (f.tokens[i - 1].type in ("WITH", "AT"))
    span = token_span(f.tokens[first]).to(token_span(f.tokens[last]))
    return Mistake("S143", f"a strength follows the word `by`, not {quote(f.tokens[i])}", span, f"write `by {value}`")


def where_in_words(f: Failure) -> Mistake | None:
    """`in layer 12`, `at all layers`, `at every layer`, `at layer: 12`."""
    near = range(max(1, f.at - 2), min(f.at + 2, len(f.tokens)))
    word = next((i for i in reversed(near) if f.tokens[i].type in ("LAYER", "LAYERS")), None)
    if word is None or f.head != VERB:
        return None
    before = f.tokens[word - 1]
    if before.lower() in WHOLE and before.type == "NAME":
        return _where(f, word - 1 - (f.tokens[word - 2].type == "AT"), word, "all")
    if before.lower() in IN:
        return _where(f, word - 1, word, "…")
    if f.kind in ("COLON", "EQUAL") and f.at == word + 1:
        return _where(f, word - (before.type == "AT"), f.at, "…")
    return None


def _where(f: Failure, first: int, last: int, layers: str) -> Mistake:
    after = f.tokens[last + 1] if last + 1 < len(f.tokens) else None
    if layers == "…" and after is not None and after.type in ("QUANTITY", "NAME"):
        layers, last = str(after), last + 1
    span = token_span(f.tokens[first]).to(token_span(f.tokens[last]))
    return Mistake("S124", "layers are named by `at layers`", span, f"write `at layers {layers}`")


def measure(f: Failure) -> Mistake | None:
    """`by 2 std`, `param strength = 2 sd`."""
    word = MEASURES.get(str(f.token).lower())
    if f.token is None or word is None or f.before is None or f.before.type not in LAST:
        return None
    if MEASURE in f.expected:
        title = f"{quote(f.token)} is not what a strength is measured in"
        return Mistake("S334", title, f.span, f"did you mean `{f.before} {word}`?")
    if f.token not in SOFT[MEASURE]:
        return None
    title = f"`{f.token}` is not part of a number: it follows the strength of an `add`, once"
    return Mistake("S334", title, f.span, f"write it where the strength is used, as in `add topic by strength {word}`")


def one_word(f: Failure) -> Mistake | None:
    """A statement that one keyword more, or another keyword, makes whole: `extract diffmean econ vs generic`."""
    said = {token.type for token in f.tokens}
    for kind in (kind for kind in JOINING if kind not in said):
        word = Token.new_borrow_pos(kind, keywords()[kind], f.tokens[min(f.at, len(f.tokens) - 1)])
        for i in range(f.at, max(0, f.at - NEAR), -1):
            old = f.tokens[i] if i < len(f.tokens) else None
            if old is None:
                continue
            wrong = old.type in keywords() and old.type != "VS"
            if wrong and _parses([*f.tokens[:i], word, *f.tokens[i + 1 :]]):
                title = f"{quote(word)} belongs here, not {quote(old)}"
                return Mistake("S144", title, token_span(old), f"write `{_around(f, i, word, i + 1)}`")
            if i == f.at and _parses([*f.tokens[:i], word, *f.tokens[i:]]):
                title = f"{quote(word)} is missing before {quote(old)}"
                return Mistake("S144", title, token_span(old), f"write `{_around(f, i, word, i)}`")
    return None


def _around(f: Failure, end: int, new: Token, start: int) -> str:
    """The new word with the one before it and the one after it."""
    return " ".join(str(t) for t in (*f.tokens[max(0, end - 1) : end], new, *f.tokens[start : start + 1]))


def _parses(tokens: Sequence[Token]) -> bool:
    """Whether these are a whole statement."""
    return fail_at(tokens).at > len(tokens)
