"""What a user should know of the model's files before a recipe runs, as warnings.

In: a plan. Out: diagnostics without a place in the text: a template that is not there, a tokenizer
that its own files describe in two ways, prompts that are rendered already, tokens that are half the template's.
"""

from __future__ import annotations

from collections.abc import Iterator

from steerdsl.lang.diagnostics import Diagnostic
from steerdsl.lang.lower.defaults import walk
from steerdsl.lang.recipe import Extract
from steerdsl.models.prompts import Renderer
from steerdsl.planning.formatting import count, data
from steerdsl.planning.plan import Plan
from steerdsl.planning.samples import samples


def notices(plan: Plan) -> tuple[Diagnostic, ...]:
    """The warnings, each once; none of prompts while the tokenizer is not here."""
    return tuple(_notices(plan))


def _notices(plan: Plan) -> Iterator[Diagnostic]:
    model, spec = plan.model, plan.recipe.model
    name, tokens = model.located.id, model.tokens
    if spec.template == "chat" and model.template is None:
        title = f"`{name}` has no chat template: its prompts are raw text"
        way_out = 'write `template: "none"` if that is what you want; else copy the model with chat_template.jinja'
        yield _warning("M620", title, way_out)
    if tokens is not None and tokens.verbatim:
        title = f"texts are cut as the tokenizer.json of `{name}` says, and not as `{tokens.declared}` would"
        way_out = "give `PreTrainedTokenizerFast` as tokenizer_class in tokenizer_config.json: it reads tokenizer.json"
        yield _warning("M621", title, way_out)
    if tokens is not None and plan.chat:
        yield from _rendered_already(plan)
        yield from _straddled(plan)


def _rendered_already(plan: Plan) -> Iterator[Diagnostic]:
    """A warning for each data set whose texts hold tokens that the chat template writes."""
    tokenizer, spec = plan.model.tokenizer, plan.recipe.model
    assert tokenizer is not None
    frame = "".join(Renderer.of(spec, tokenizer).frame)
    marks = [str(token) for token in tokenizer.added_tokens_decoder.values() if str(token) in frame]
    for name, held in plan.data.items():
        texts = [text for row in held.rows if any(mark in (text := row.text) for mark in marks)]
        if not texts:
            continue
        first = next(mark for mark in marks if mark in texts[0])
        title = f"{count(len(texts), 'row')} of `{name}` hold `{first}`, and the chat template is put around them again"
        title = title.replace("1 row of", "a row of").replace("` hold `", "` holds `") if len(texts) == 1 else title
        yield _warning("M622", title, 'use `template: "none"` for prompts that are rendered, or take the tokens out')


def _straddled(plan: Plan) -> Iterator[Diagnostic]:
    """A warning for each class of prompts of which `mean_content` reads characters of the template too."""
    steps = [s for s in walk(plan.recipe.steps) if isinstance(s, Extract) and s.position.name == "mean_content"]
    if not steps:
        return
    renderer = Renderer.of(plan.recipe.model, plan.model.tokenizer)
    refs = dict.fromkeys(ref for s in steps for ref in (s.positive, s.negative) if ref is not None)
    for name, found in {data(ref): samples(plan.data, ref, plan.source) for ref in refs}.items():
        shared = sum(renderer.straddled(sample.prompt) for sample in found)
        if shared:
            title = (
                f"in {shared} of {count(len(found), 'prompt')} of `{name}` a token holds the user's and the template's"
            )
            way_out = "`mean_content` reads such a token as the user's; where that matters, read `at last_token`"
            yield _warning("M661", f"{title} characters", way_out)


def _warning(code: str, title: str, help: str) -> Diagnostic:
    return Diagnostic(code, title, help=help, severity="warning")
