"""A link to an NDIF server: its address, the key, what was sent, and what is said when it fails.

In: a safe address, the key. Out: `Link`, which `tracing.ndif` sends requests over, and RecipeErrors
R820 to R832 and R837. The key is held by the link alone, and no text that leaves it has the key.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import Progress, no_progress

DEFAULT_HOST = "https://api.ndif.us"
# A connection that fails is tried again after these pauses, and for TRYING seconds altogether: about as long as a
# server takes to restart.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
TRYING = 30.0
REPLY = 20.0  # seconds that a server has to answer
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses of a server that may come back by itself
PATIENCE = 600.0  # seconds without any news of a request that the server has taken


class Lost(Exception):
    """The server did not answer, or stopped answering. `taken`: it had the request already."""

    def __init__(self, reason: str, taken: bool) -> None:
        super().__init__(reason)
        self.taken = taken


@dataclass(slots=True)
class Traffic:
    """What went over the wire: requests with an answer, bytes as they were sent and received."""

    requests: int = 0
    sent: int = 0
    received: int = 0

    def since(self, before: Traffic) -> dict[str, int]:
        """What was added after `before`, for the record."""
        return {
            "requests": self.requests - before.requests,
            "sent": self.sent - before.sent,
            "received": self.received - before.received,
        }

    def copy(self) -> Traffic:
        """The figures as they are now."""
        return Traffic(self.requests, self.sent, self.received)


@dataclass(slots=True)
class Link:
    """A server, and the model asked for there. `model_key` is the server's own name of it, once known;
    `tell` is given lines for the user, `progress` what the server says of a request under way; `insecure`
    says that what is not encrypted is accepted."""

    host: str
    key: str = field(repr=False)
    repo: str
    revision: str | None
    dtype: str
    progress: Progress = no_progress
    tell: Callable[[str], None] = lambda text: None
    model_key: str = ""
    rows: int = 1  # prompts of a pass of the request under way
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    insecure: bool = False

    def clean(self, text: str) -> str:
        """A server's words without the key, should it have sent it back."""
        return text.replace(self.key, "(the key)") if self.key else text

    def line(self, text: str) -> str:
        """The same as one short line."""
        return " ".join("".join(c if c.isprintable() else " " for c in self.clean(text)).split())[:300]

    def differences(self) -> list[str]:
        """The packages whose versions differ, for the record; empty before the server was asked."""
        pairs = [(name, pair) for name, pair in self.versions.items() if pair["here"] != pair["there"]]
        return [f"the server at {self.host} has {name} {p['there']}, this machine {p['here']}" for name, p in pairs]

    def persist(self, attempt: Callable[[float], Any]) -> Any:
        """What `attempt` gives, which gets the seconds that the server has to answer; when the server is
        lost, again after each of PAUSES, until TRYING seconds have gone. Passes change nothing on a server, so
        one may be sent twice. Raises RecipeError R820 or R823 in the end."""
        taken, until = False, None
        for pause in (*PAUSES, None):
            begun = time.monotonic()
            try:
                return attempt(REPLY if until is None else min(REPLY, max(1.0, until - begun)))
            except Lost as lost:
                taken |= lost.taken
                # A server that had taken the request worked on it until now.
                until = time.monotonic() + TRYING if lost.taken else until or begun + TRYING
                if pause is None or time.monotonic() + pause >= until:
                    raise failure(self._lost(lost, taken)) from lost
                self.progress(f"{self.host} does not answer; trying again in {pause:.0f} s", 0, 0)
                time.sleep(pause)

    def _lost(self, lost: Lost, taken: bool) -> Diagnostic:
        note = (f"the reason given: {self.line(str(lost))}",)
        if taken:
            title = f"the NDIF server at {self.host} was lost while it worked on this step"
            way_out = "run the recipe again when it is back: finished work is kept, and the run goes on from there"
            return Diagnostic("R823", title, (), note, way_out)
        title = f"no NDIF server answers at {self.host}"
        return Diagnostic("R820", title, (), note, "check --host or NDIF_HOST, or wait until the server is up")


def failure(diagnostic: Diagnostic, exit_code: Exit = Exit.FAILED) -> RecipeError:
    """One diagnostic as the error of a step, which gives it its place in the recipe."""
    return RecipeError([diagnostic], exit_code)


def find_model(link: Link, status: dict[str, Any]) -> str:
    """The server's name of the model that is asked for, from what GET /status says.

    Raises RecipeError R821 when it is not served, R837 when what is said has another form.
    """
    deployments = status.get("deployments")
    if not isinstance(deployments, dict) or not all(isinstance(facts, dict) for facts in deployments.values()):
        raise failure(unreadable(link, "/status", "it names no deployments"))
    served: dict[str, str] = {}
    for name, facts in deployments.items():
        model_key = str(facts.get("model_key") or name.partition(":ModelActor:")[2])
        if facts.get("application_state") not in ("RUNNING", "DEPLOYING") or "{" not in model_key:
            continue
        about = _parts(model_key)
        same_revision = (about.get("revision") or "main") == (link.revision or "main")
        if about.get("task") in (None, "text-generation"):
            served[str(about.get("repo_id"))] = model_key
            if str(about.get("repo_id")).lower() == link.repo.lower() and same_revision:
                return model_key
    at = f" at revision {link.revision}" if link.revision else ""
    listed = link.line(", ".join(sorted(served))) or "none"
    title = f"the server at {link.host} does not serve `{link.repo}`{at}"
    way_out = "run a model that it serves with --model, or have this one deployed"
    raise failure(Diagnostic("R821", title, (), (f"served now: {listed}",), way_out))


def find_versions(link: Link, env: dict[str, Any]) -> dict[str, str]:
    """The versions of packages that GET /env says. Raises RecipeError R837 when it has another form."""
    found = env.get("packages", {})
    if not isinstance(found, dict) or not all(isinstance(found.get(name, ""), str) for name in DIFFERS):
        raise failure(unreadable(link, "/env", "it does not list package versions"))
    return {name: link.line(found[name]) for name in DIFFERS if name in found}


def read_table(link: Link, where: str, text: str | bytes) -> dict[str, Any]:
    """What a server says in JSON at one address. Raises RecipeError R837 for anything but a table."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise failure(unreadable(link, where, "it is not JSON")) from error
    if not isinstance(found, dict):
        raise failure(unreadable(link, where, "it is not a table"))
    return found


def unreadable(link: Link, where: str, why: str) -> Diagnostic:
    """The diagnostic of a reply that has not the form of an NDIF server's."""
    title = f"the server at {link.host} is not an NDIF server of this version"
    return Diagnostic(
        "R837", title, (), (f"its reply at {where} cannot be read: {link.line(why)}",), "check --host or NDIF_HOST"
    )


def _parts(model_key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(model_key[model_key.index("{") :])
    except (ValueError, RecursionError):
        return {}
    return found


DIFFERS = {
    "nnsight": "a request may be refused, or mean something else",
    "torch": "the last digits of every number, and with them single tokens; other samples from the same seed",
    "transformers": "activations from about the fifth digit on, and with them single tokens",
}


def compare(link: Link, here: dict[str, str], there: dict[str, str]) -> str | None:
    """A table of the packages whose versions differ and of what may differ because of it, or None.
    What is compared goes to `link.versions`, for the record."""
    link.versions = {
        name: {"here": here.get(name, "-"), "there": there.get(name, "-").partition("+")[0]} for name in DIFFERS
    }
    other = {name: pair for name, pair in link.versions.items() if pair["here"] != pair["there"]}
    if not other:
        return None
    lines = [f"  {'package':<14}{'here':<12}{'there':<12}may differ"]
    lines += [f"  {name:<14}{pair['here']:<12}{pair['there']:<12}{DIFFERS[name]}" for name, pair in other.items()]
    return "\n".join([f"warning: the server at {link.host} has other versions than this machine", *lines])


def refusal(link: Link, status: int, detail: str) -> Diagnostic | None:
    """The diagnostic of an HTTP status that is not about the request's contents, or None.
    503 and its kind raise `Lost`: the server comes back by itself."""
    detail = link.line(detail)
    if status in PASSING:
        raise Lost(f"HTTP {status}" + (f", {detail}" if detail else ""), taken=False)
    if status in (401, 403) or (status == 400 and "API key" in detail):
        what = "does not accept the API key" if link.key else "asks for an API key"
        way_out = "set NDIF_API_KEY to a key of this server, or store one with `nnsight login`"
        return Diagnostic("R825", f"the server at {link.host} {what}", help=way_out)
    if status == 413:
        return too_large(link, "the request")
    if status == 400 and "version" in detail:
        way_out = "install the version that it asks for"
        return Diagnostic("R830", f"the server at {link.host} does not take this client", (), (detail,), way_out)
    if status >= 400:
        title = f"the server at {link.host} refuses the request: HTTP {status}"
        return Diagnostic("R826", title, (), (detail,) if detail else ())
    return None


def too_large(link: Link, what: str) -> Diagnostic:
    """The diagnostic of something that does not fit over the wire."""
    title = f"{what} is too large for the server at {link.host}"
    return Diagnostic("R824", title, help=_smaller(link))


def _smaller(link: Link) -> str:
    """What makes a request smaller. A single prompt is not made so by other batches; requests for activations
    come down to one by themselves (`joining`)."""
    return "use a smaller --batch-size or fewer tokens" if link.rows > 1 else "use shorter prompts or fewer tokens"


def said(link: Link, description: str) -> Diagnostic:
    """The diagnostic of an error that the server reports for a request that it ran.
    Raises `Lost` for failures that the request did not cause."""
    text = link.clean(description).strip()
    first = link.line((text.splitlines() or ["nothing"])[0])
    passing = ("evicted", "preempted by the server", "Error submitting", "Error starting", "Error provisioning")
    if any(words in text for words in passing):
        raise Lost(first, taken=True)
    if "exceeded the execution timeout" in text:
        title = f"the server at {link.host} stopped the step at its time limit"
        return Diagnostic("R831", title, (), (link.line(text),), _smaller(link))
    if "payload could not be read" in text or "model architecture on this server" in text:
        title = f"the server at {link.host} cannot read the request"
        way_out = "install the versions of nnsight, torch and transformers that the server has"
        return Diagnostic("R830", title, (), (first,), way_out)
    # The line of a traceback that names the exception.
    last = link.line((text.splitlines() or ["nothing"])[-1])
    if "out of memory" in text.lower():
        return Diagnostic("R826", f"the server at {link.host} ran out of memory", (), (last,), _smaller(link))
    return Diagnostic("R826", f"the step failed on the server at {link.host}", (), (f"it says: {last}",))


def waited(link: Link, status: str) -> Diagnostic:
    """The diagnostic of a request of which nothing was heard for PATIENCE seconds."""
    title = f"nothing was heard from the server at {link.host} for {PATIENCE:.0f} s"
    return Diagnostic(
        "R822",
        title,
        (),
        (f"the last news: {link.line(status)}",),
        "run the recipe again later: finished work is kept",
    )


def require_dtype(link: Link, there: str) -> None:
    """Raise RecipeError R832 unless the server holds the model in the dtype that the run is planned in:
    results are kept under it."""
    if there != link.dtype:
        short = {"bfloat16": "bf16", "float16": "fp16"}.get(there, there)
        title = f"the server at {link.host} runs the model in {there}, and this run is planned in {link.dtype}"
        raise failure(Diagnostic("R832", title, help=f"add --dtype {short}"))
