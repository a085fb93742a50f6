"""The token positions of a prompt at which activations are read.

In: a `Rendered` prompt. Out: registry entries of kind "position", whose `run(rendered, number)` gives
a `TokenSpan`: token indexes into the unpadded prompt, and whether they are averaged into one sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from steerdsl.models.prompts import Rendered

MOST = 1_000_000  # tokens: more than any prompt has


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """indexes: token positions from 0, ascending. average: one sample, their mean; else one sample each."""

    indexes: tuple[int, ...]
    average: bool = False


def _last_token(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """The last token."""
    return TokenSpan((len(rendered.ids) - 1,))


def _token(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """One token, counted from 0, or from the end: -1 is the last."""
    assert number is not None, "the checker asks for the number"
    length = len(rendered.ids)
    index = number if number >= 0 else length + number
    if not 0 <= index < length:
        title = f"a prompt has {length} tokens, so there is no token {number}"
        raise _refused(title, f"tokens are 0 to {length - 1}, or -1 to -{length} from the end, in this prompt")
    return TokenSpan((index,))


def _suffix(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """The last tokens, each one a sample."""
    count, length = rendered.tail if number is None else number, len(rendered.ids)
    if count == 0:
        raise _refused("these prompts end in no tokens that all share", "give a number: `suffix 1` is the last token")
    if count > length:
        raise _refused(f"a prompt has {length} tokens, so it has no suffix of {count}", "use a smaller number")
    return TokenSpan(tuple(range(length - count, length)))


def _mean_prompt(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """Every token of the prompt, averaged; an answer behind it is left out."""
    end = len(rendered.ids) if rendered.response is None else rendered.response[0]
    return TokenSpan(tuple(range(end)), average=True)


def _mean_content(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """The user's own words, averaged."""
    if rendered.content[0] == rendered.content[1]:
        raise _refused("a prompt has no content words", "remove the empty row, or use `at last_token`")
    return TokenSpan(tuple(range(*rendered.content)), average=True)


def _mean_response(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """The answer behind the prompt, averaged."""
    if rendered.response is None or rendered.response[0] == rendered.response[1]:
        raise _refused("a prompt has no answer to read", "name the data set's field of answers with `answer:`")
    return TokenSpan(tuple(range(*rendered.response)), average=True)


def _all(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """Every token, each one a sample; all but the first `number` of them where this is given, but never none."""
    length = len(rendered.ids)
    return TokenSpan(tuple(range(min(number or 0, length - 1), length)))


def _refused(title: str, way_out: str) -> RecipeError:
    return RecipeError([Diagnostic("M614", title, help=way_out)])


ENTRIES = (
    Entry(
        "position",
        "last_token",
        "the last token of the rendered prompt, usually one of the template's",
        _last_token,
        when=(
            "Use it for refusal, style and whatever else the model decides before it answers. Not for a topic, for "
            "which `mean_content` was better on the models tried."
        ),
        example="extract diffmean from econ vs generic at last_token",
        aliases=("last", "final", "final_token", "eos", "end"),
    ),
    Entry(
        "position",
        "token",
        "one token, counted from 0, or from the end: -1 is the last",
        _token,
        args=(Arg("number", "int", doc="which token", least=-MOST, most=MOST),),
        paper="Rimsky et al. 2024 read token -2, the answer's letter",
        when=(
            "Use it for a token with a fixed meaning, such as an answer's letter at -2. Not counted from the start in "
            "prompts of different wording, where it reads unrelated words."
        ),
        example="extract diffmean from econ vs generic at token -2",
    ),
    Entry(
        "position",
        "suffix",
        "each of the last tokens, by default those that the template adds after every prompt",
        _suffix,
        args=(Arg("number", "int", default=None, doc="how many tokens", least=1, most=MOST),),
        needs=frozenset({"tail"}),
        paper="Arditi et al. 2024, section 2.3: post-instruction tokens",
        when=(
            "Use it for the template's tokens after the prompt, where refusal is often read. Not as independent "
            "samples: several tokens come from each prompt."
        ),
        example="extract diffmean from econ vs generic at suffix 5",
    ),
    Entry(
        "position",
        "mean_prompt",
        "the mean over all tokens of the rendered prompt",
        _mean_prompt,
        when=(
            "Use it to reproduce work that averages over all tokens. Otherwise use `mean_content`: the template's "
            "tokens dilute the difference."
        ),
        example="extract diffmean from econ vs generic at mean_prompt",
        aliases=("mean", "average", "avg", "mean_pool", "mean_all"),
    ),
    Entry(
        "position",
        "mean_content",
        "the mean over the user's own tokens, without the template's",
        _mean_content,
        when=(
            "Use it for a topic; on the models tried it was the best position. Not for refusal or style, which the "
            "model decides at the end of the prompt."
        ),
        example="extract diffmean from econ vs generic at mean_content",
        aliases=("content", "mean_question", "mean_user", "question"),
    ),
    Entry(
        "position",
        "mean_response",
        "the mean over the tokens of a given answer",
        _mean_response,
        needs=frozenset({"answers"}),
        paper="Chen et al. 2025, Persona Vectors",
        when=(
            "Use it for traits that show in answers, such as a style or a persona. Without given answers the model "
            "writes its own first, which takes longer."
        ),
        example="extract diffmean from polite vs rude at mean_response",
        aliases=("response", "mean_answer", "answer", "response_avg"),
    ),
    Entry(
        "position",
        "all",
        "every token of the rendered prompt, each as a separate sample",
        _all,
        when="Use it to see every token. Not as independent samples: tokens of one prompt depend on each other.",
        example="extract diffmean from econ vs generic at all",
    ),
)
