"""What a client of the OpenAI interface asks for, read strictly.

In: the JSON of a request. Out: a `Wanted` with the questions of its rows, or a `BadRequest` with the status and the
text that the client gets. An option that would be ignored silently is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerdsl.engine.batch_edits import Acting
from steerdsl.forms.form import EACH, By, Maybe, Such, misfit
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.prompts import Rendered
from steerdsl.serving.questions import Question
from steerdsl.serving.served import Served

MOST_TOP = 20  # tokens that are told beside each one
MOST_STOPS = 16
COMPLETION_TOKENS = 16  # of a completion that says no limit, as OpenAI's interface has it


class BadRequest(Exception):
    """The request cannot be answered: an HTTP status, a code and a text for the client."""

    def __init__(self, status: int, code: str, text: str, param: str | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.param = status, code, param

    def to_json(self) -> dict[str, Any]:
        """The body of the response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for: the rows of its choices, in order."""

    model: str
    chat: bool
    questions: tuple[Question, ...]
    stream: bool
    usage: bool

    @property
    def prompt_tokens(self) -> int:
        """Of each prompt once, however many answers it has."""
        return sum(len(question.prompt.ids) for question in self.questions if question.sample == 0)


_KINDS = {type(None): "null", str: "text", int: "number", float: "number", list: "list", dict: "object"}


def _between(least: float, most: float) -> Any:
    return Such(float, lambda value: least <= value <= most, f"a number from {least:g} to {most:g}")


def _none_of(*values: Any) -> Any:
    """For what is not supported: only what changes nothing may stand there."""
    said = " or ".join("null" if value is None else str(value).lower() for value in values)
    what = f"{said}: anything else is not supported"
    return Maybe(Such(object, lambda value: any(value is v or value == v for v in values), what))


def _kinds(what: str, **forms: Any) -> By:
    """One of several forms, by the kind of the value: null, text, number, list or object; `what` says all of them."""
    none = Such(object, lambda value: False, what)
    return By(lambda value: forms.get(_KINDS.get(type(value), ""), none), tuple(forms.values()))


def _or_null(**forms: Any) -> Maybe:
    """What may be left out or null."""
    (form,) = forms.values()
    what = getattr(form, "what", None) or (_said(form) if isinstance(form, range) else next(iter(forms)))
    return Maybe(_kinds(f"{what}, or null", null=None, **forms))


def _said(numbers: range) -> str:
    return f"a whole number from {numbers.start} to {numbers.stop - 1}"


_TEXTS = Such([str], lambda texts: len(texts) <= MOST_STOPS and all(texts), f"at most {MOST_STOPS} texts, none empty")
_STOP = Maybe(
    _kinds("a text, several, or null", null=None, text=Such(str, bool, "a text that is not empty"), list=_TEXTS)
)
_WEIGHTS = {EACH: float}
_SHARED = {
    "model": str,
    "n": _or_null(number=range(1, 129)),
    "stop": _STOP,
    "seed": _or_null(number=range(-(2**63), 2**63)),
    "temperature": _or_null(number=_between(0, 2)),
    "top_p": _or_null(number=Such(float, lambda value: 0 < value <= 1, "a number above 0, at most 1")),
    "stream": Maybe(bool | None),
    "stream_options": _or_null(object={"include_usage": Maybe(bool | None)}),
    "max_tokens": _or_null(number=range(1, 1 << 31)),
    "steering": _or_null(object=_WEIGHTS),
    "frequency_penalty": _none_of(None, 0),
    "presence_penalty": _none_of(None, 0),
    "logit_bias": _none_of(None, {}),
    **{name: Maybe(object) for name in ("user", "metadata", "store", "service_tier", "safety_identifier")},
}
_PART = {"type": Such(str, lambda kind: kind == "text", "text: other kinds are not supported"), "text": str}
_ROLE = Such(
    str,
    lambda role: role in ("system", "developer", "user", "assistant"),
    "system, developer, user or assistant",
)
_MESSAGE = {
    "role": _ROLE,
    "content": _kinds("a text, or a list of parts", text=str, list=[_PART]),
    "name": Maybe(object),
}
CHAT = {
    **_SHARED,
    "messages": Such([_MESSAGE], bool, "a list of messages that is not empty"),
    "max_completion_tokens": _or_null(number=range(1, 1 << 31)),
    "logprobs": Maybe(bool | None),
    "top_logprobs": _or_null(number=range(0, MOST_TOP + 1)),
    "response_format": _none_of(None, {"type": "text"}),
    "tools": _none_of(None, []),
    "tool_choice": _none_of(None, "none", "auto"),
    "parallel_tool_calls": Maybe(object),
    "modalities": _none_of(None, ["text"]),
}
_IDS = Such([int], bool, "a list of token ids that is not empty")
_PROMPT = "a text, several, or token ids"
COMPLETION = {
    **_SHARED,
    "prompt": _kinds(_PROMPT, text=str, list=Such([object], bool, _PROMPT)),
    "logprobs": _or_null(number=range(0, MOST_TOP + 1)),
    "echo": _none_of(None, False),
    "suffix": _none_of(None, ""),
    "best_of": _none_of(None, 1),
}


def read(given: Any, served: Served, chat: bool) -> Wanted:
    """What a request asks for. Raises BadRequest: 400 for what is wrong, 404 for a model or a steer there is not."""
    form = CHAT if chat else COMPLETION
    if not isinstance(given, dict):
        raise BadRequest(400, "invalid_body", "the body is not an object")
    for name in given.keys() - form.keys():
        raise BadRequest(400, "unknown_parameter", f"there is no parameter `{name[:60]}`", name[:60])
    for name, one in form.items():
        if (wrong := misfit({name: given[name]} if name in given else {}, {name: one})) is not None:
            raise BadRequest(400, "invalid_value", wrong, name)
    steer = _steer(given, served)
    prompts = [_chat(given["messages"], served)] if chat else _texts(given["prompt"], served)
    n = given.get("n") or 1
    if n * len(prompts) > served.limits.rows:
        many = f"{n * len(prompts)} answers are asked for, more than the {served.limits.rows} of one request"
        raise BadRequest(400, "too_many_choices", many, "n")
    limit = given.get("max_completion_tokens") or given.get("max_tokens")
    seed = given.get("seed")
    stops = given.get("stop") or ()
    how: dict[str, Any] = {
        "temperature": float(given.get("temperature") or 0),
        "top_p": float(given.get("top_p") or 1),
        "seed": secrets.randbits(53) if seed is None else seed,
        "stops": (stops,) if isinstance(stops, str) else tuple(stops),
        "logprobs": _logprobs(given, chat),
    }
    questions = []
    for prompt in prompts:
        tokens = _tokens(prompt, limit, served, chat)
        questions += [Question(prompt, steer, tokens, sample=k, **how) for k in range(n)]
    usage = bool((given.get("stream_options") or {}).get("include_usage"))
    return Wanted(given["model"], chat, tuple(questions), bool(given.get("stream")), usage)


def _steer(given: Mapping[str, Any], served: Served) -> Acting | None:
    """What acts: the steer of the model's name, or the mix that the request gives in its place."""
    names = served.models()
    if given["model"] not in names:
        has = ", ".join(names)
        raise BadRequest(404, "model_not_found", f"there is no model `{given['model'][:200]}`; there is {has}", "model")
    try:
        if "steering" in given:
            return served.steers.mixed(given["steering"] or {})
        name = names[given["model"]]
        return None if name is None else served.steers.named(name)
    except RecipeError as error:
        told = "; ".join(part for d in error.diagnostics for part in (d.title, d.help) if part)
        unknown = error.diagnostics[0].code == "R901"
        status, code = (404, "steer_not_found") if unknown else (400, "invalid_steering")
        raise BadRequest(status, code, told, "steering") from error


def _chat(messages: Sequence[Mapping[str, Any]], served: Served) -> Rendered:
    talk = [{"role": _role(m["role"]), "content": _content(m["content"])} for m in messages]
    return _prompt(lambda: served.conversation(talk), "messages")


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _content(content: str | Sequence[Mapping[str, str]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _texts(given: Any, served: Served) -> list[Rendered]:
    """The prompts of a completion: a text, several, token ids, or several lists of these."""
    if isinstance(given, str):
        return [_prompt(lambda: served.text(given), "prompt")]
    if misfit(given, _IDS) is None:
        return [_prompt(lambda: served.tokens(given), "prompt")]
    found = []
    for one in given:
        if isinstance(one, str):
            found.append(_prompt(lambda one=one: served.text(one), "prompt"))
        elif misfit(one, _IDS) is None:
            found.append(_prompt(lambda one=one: served.tokens(one), "prompt"))
        else:
            raise BadRequest(400, "invalid_value", f"`prompt` is not {_PROMPT}", "prompt")
    return found


def _prompt(make: Any, param: str) -> Rendered:
    try:
        made: Rendered = make()
    except RecipeError as error:
        told = "; ".join((*(d.title for d in error.diagnostics), *(n for d in error.diagnostics for n in d.notes)))
        raise BadRequest(400, "invalid_prompt", told, param) from error
    if not made.ids:
        raise BadRequest(400, "invalid_prompt", "the prompt has no token", param)
    return made


def _tokens(prompt: Rendered, limit: int | None, served: Served, chat: bool) -> int:
    """How many tokens an answer may have: as many as are asked for, and as the context and the server allow."""
    room, most = served.room(prompt), served.limits.tokens
    if limit is not None and limit > most:
        raise BadRequest(400, "too_many_tokens", f"max_tokens is {limit}, and this server allows {most}", "max_tokens")
    wanted = limit or (most if chat else COMPLETION_TOKENS)
    if room is not None and (room < 1 or (limit is not None and limit > room)):
        length = f"the prompt has {len(prompt.ids)} tokens" + (f" and {limit} new ones are asked for" if limit else "")
        text = f"{length}, more than the {room + len(prompt.ids)} of the model's context"
        raise BadRequest(400, "context_length_exceeded", text, "messages" if chat else "prompt")
    return wanted if room is None else min(wanted, room)


def _logprobs(given: Mapping[str, Any], chat: bool) -> int | None:
    asked, top = given.get("logprobs"), given.get("top_logprobs")
    if not chat:
        found: int | None = asked
        return found
    if not asked:
        if top:
            raise BadRequest(400, "invalid_value", "`top_logprobs` needs `logprobs: true`", "top_logprobs")
        return None
    return top or 0
