"""Ask an LLM judge over HTTP for marks of answers: any OpenAI-compatible endpoint.

In: questions with two answers each, an endpoint that the user names. Out: marks, and what they cost.
Replies are kept in the store by what was asked of which model, so the same pair is paid for once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steerdsl.engine.safety import require_safe_judge
from steerdsl.forms.kept import REPLY
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError
from steerdsl.lang.reads import asks_endpoint, metrics_of
from steerdsl.measure import judge
from steerdsl.models.cache import Progress
from steerdsl.planning.plan import Plan
from steerdsl.store.files import write_json
from steerdsl.store.results import Store, content_key

KEYS = ("STEERDSL_JUDGE_KEY", "OPENAI_API_KEY")
ATTEMPTS = 4
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
BAD_REQUEST = (400, 415, 422)
MOST_CHARACTERS = 100_000  # of a reply that are kept; marks have some hundred
LONGEST = 1024  # tokens of a reply, the thoughts of a model that has some included
Marks = Mapping[str, float]


@dataclass(slots=True)
class Cost:
    """What a judge was asked in one run. `pairs`: of answers that were shown;
    `refused`: replies without marks, asked twice each; `faults`: why, and
    how many of each."""

    model: str
    pairs: int = 0
    calls: int = 0
    from_store: int = 0
    refused: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class Judge:
    """An endpoint at `url` (with or without /v1) and its `model`; replies are kept in `store`."""

    url: str
    model: str
    store: Store
    progress: Progress
    wait: Callable[[float], None] = time.sleep
    cost: Cost = field(init=False)

    def __post_init__(self) -> None:
        import httpx

        self.cost = Cost(self.model)
        key = os.environ.get(key_name() or "")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(120, connect=10),
            follow_redirects=False,  # the key goes to the host that the user named and to no other
        )
        self._forms: list[dict[str, Any]] = [
            {"type": "json_schema", "json_schema": {"name": "marks", "strict": True, "schema": judge.schema()}},
            {"type": "json_object", "schema": judge.schema()},
            {},
        ]

    def compare(
        self, questions: Sequence[str], first: Sequence[str], second: Sequence[str]
    ) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """Marks of both answers to each question, by criterion: means over both orders of the two."""
        ours: list[dict[str, float]] = []
        theirs: list[dict[str, float]] = []
        for done, (question, one, two) in enumerate(zip(questions, first, second, strict=True)):
            self.progress(f"judged by {self.model}", done, len(questions))
            straight, swapped = self._marks(question, (one, two)), self._marks(question, (two, one))
            ours.append(judge.mean_marks([m for m in (straight and straight[0], swapped and swapped[1]) if m]))
            theirs.append(judge.mean_marks([m for m in (straight and straight[1], swapped and swapped[0]) if m]))
        self.progress(f"judged by {self.model}", len(questions), len(questions))
        return _by_criterion(ours), _by_criterion(theirs)

    def _marks(self, question: str, answers: tuple[str, str]) -> tuple[Marks, Marks] | None:
        self.cost.pairs += 1
        asked = judge.messages(question, answers)
        key = content_key({"judge": judge.VERSION, "model": self.model, "messages": asked})
        known = self.store.load(key, _read)
        if known is None:
            known = self.store.save(key, {"kind": "judgement"}, _writer(self._ask(asked)), _read)
        else:
            self.cost.from_store += 1
        found = judge.parse(known)
        if found is None:
            why = judge.fault(known)
            self.cost.refused += 1
            self.cost.faults[why] = self.cost.faults.get(why, 0) + 1
        return found

    def _ask(self, asked: list[dict[str, str]]) -> str:
        """The reply to a conversation; one without marks is asked for once more, in so many words."""
        reply = self._reply(asked)
        if judge.parse(reply) is None:
            again = {"role": "user", "content": "Reply with the JSON object alone, with marks from 1 to 5."}
            reply = self._reply([*asked, {"role": "assistant", "content": reply}, again])
        return reply

    def _reply(self, asked: list[dict[str, str]]) -> str:
        forms = [{"response_format": form} if form else {} for form in self._forms]
        text, _, used = self.reply(asked, forms)
        del self._forms[:used]  # this endpoint does not hold a model to a schema in these ways
        return text

    def reply(self, asked: list[dict[str, str]], forms: Sequence[Mapping[str, Any]]) -> tuple[str, Any, int]:
        """The text of a reply, the body that it came in, and which of `forms`, further parameters of a request, was the
        first that this endpoint takes; the last of them asks for nothing."""
        body = {"model": self.model, "messages": asked, "temperature": 0, "max_tokens": LONGEST}
        used, answer = 0, self._post({**body, **forms[0]}, forms[0])
        while _unknown_form(answer, forms[used]):
            used += 1
            answer = self._post({**body, **forms[used]}, forms[used])
        if answer.status_code != 200:
            raise self._failed(f"answers {answer.status_code}: {_said(answer)}")
        found, text = _content(answer)
        if text is None and not (self.cost.calls or self.cost.from_store):
            raise self._failed("does not answer as an OpenAI-compatible endpoint does")
        self.cost.calls += 1
        self.cost.prompt_tokens += _tokens(found, "prompt_tokens")
        self.cost.completion_tokens += _tokens(found, "completion_tokens")
        return (text or "")[:MOST_CHARACTERS], found, used

    def _post(self, body: Mapping[str, Any], form: Mapping[str, Any]) -> Any:
        """One request, tried again where it may pass: a host that is busy or does not answer in time."""
        import httpx

        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.wait(2.0**attempt)
            try:
                answer = self._client.post(_address(self.url), json=body)
            except httpx.TimeoutException:
                problem = "does not answer in time"
            except httpx.HTTPError as error:
                problem = f"cannot be reached ({type(error).__name__})"
            else:
                if answer.status_code not in BUSY or _unknown_form(answer, form):
                    return answer
                problem = f"answers {answer.status_code}: {_said(answer)}"
        raise self._failed(f"{problem}, {ATTEMPTS} times")

    def _failed(self, problem: str) -> RecipeError:
        help = f"look at --judge-url and --judge-model; a key is read from {' or '.join(KEYS)}; what was judged is kept"
        host = urlsplit(self.url).netloc.rpartition("@")[2]
        return RecipeError([Diagnostic("R896", f"the judge at {host} {problem}", help=help)], Exit.FAILED)


def key_name() -> str | None:
    """The variable of the environment that the key is read from; None where none is set."""
    return next((name for name in KEYS if os.environ.get(name)), None)


def _address(url: str) -> str:
    base = url.rstrip("/")
    return f"{base}/chat/completions" if base.endswith("/v1") else f"{base}/v1/chat/completions"


def _unknown_form(answer: Any, form: Mapping[str, Any]) -> bool:
    """Whether an endpoint does not know a parameter of `form` that it was given; llama-cpp-python's server says so
    with a status of 500."""
    named = any(name in answer.text for name in form)
    return bool(form) and (answer.status_code in BAD_REQUEST or (answer.status_code >= 400 and named))


def _said(answer: Any) -> str:
    """What a host says of a failure, short, on one line."""
    try:
        found = answer.json().get("error")
        text = found.get("message") if isinstance(found, dict) else found
    except (ValueError, AttributeError, RecursionError):
        text = answer.text[:MOST_CHARACTERS]
    return _writable(" ".join(str(text or "no reason given").split())[:200])


def _writable(text: str) -> str:
    """A text that can be kept: JSON may hold half of a character, and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _content(answer: Any) -> tuple[Any, str | None]:
    """The body of a reply and the text in it, "" where a model says nothing; None where it has another form.
    Half a character (an escape such as \\ud83d alone), which no file can hold, becomes a question mark."""
    try:
        found = answer.json()
        text = found["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None, None
    if not isinstance(text, str):
        return found, ""
    return found, _writable(text)


def _tokens(found: Any, name: str) -> int:
    """What an endpoint says that a reply cost; 0 where it says no number."""
    usage = found.get("usage") if isinstance(found, dict) else None
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count < 1 << 53 else 0


def _by_criterion(marks: Sequence[Marks]) -> dict[str, list[float]]:
    return {name: [m[name] for m in marks] for name in judge.CRITERIA}


def _read(folder: Path) -> str:
    return str(read_json(folder / "reply.json", REPLY, within=folder)["reply"])


def _writer(reply: str) -> Callable[[Path], None]:
    return lambda fresh: write_json(fresh / "reply.json", {"reply": reply})


def unmarked(made: Judge) -> list[str]:
    """What a run says of replies without marks, in one line; nothing where there were none."""
    cost = made.cost
    whys = "; ".join(f"{why} ({count})" for why, count in cost.faults.items())
    return [f"judge: {cost.refused} of {cost.pairs} pairs of answers have no marks: {whys}"] if whys else []


def cost_json(made: Judge) -> dict[str, Any]:
    """What the record keeps of a judge: the model, the work and the tokens; neither host nor key."""
    return asdict(made.cost)


def require_judge(plan: Plan) -> None:
    """Raise RecipeError R895 when a step wants a judge's marks and the command line names none, R897
    when its address cannot be used."""
    every = [inner for s in plan.steps for inner in (s, *(s.points[0] if s.points else ()))]
    asking = [s.step for s in every if asks_endpoint(metrics_of(s.step))]
    if not asking:
        return
    if plan.options.judge_url and plan.options.judge_model:
        require_safe_judge(plan.options.judge_url, key_name())
        return
    label = Label(plan.source, asking[0].span, "asks a judge for marks")
    help = "add --judge-url and --judge-model; its key is read from STEERDSL_JUDGE_KEY or OPENAI_API_KEY"
    title = "this recipe needs an LLM judge, and the command line names none"
    raise RecipeError([Diagnostic("R895", title, (label,), help=help)], Exit.USAGE)
