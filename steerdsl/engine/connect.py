"""Open a model on an NDIF server.

In: a plan whose model runs there. Out: a `Session` without weights, linked to the server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from steerdsl.engine.remote import DEFAULT_HOST, Link, failure
from steerdsl.engine.safety import require_safe
from steerdsl.forms.kept import HOSTS
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit
from steerdsl.models.cache import Progress, cache_root
from steerdsl.store.files import write_json

if TYPE_CHECKING:
    from steerdsl.engine.tracing import Session
    from steerdsl.planning.plan import Plan


def connect(plan: Plan, progress: Progress, tell: Callable[[str], None]) -> Session:
    """Ask the server of the plan's options for the plan's model. `tell` is given what the user must
    know once. Raises RecipeError R820 to R832 and R837."""
    from steerdsl.engine.tracing import Session, address, api_key
    from steerdsl.models.opened import open_remote

    options, located = plan.options, plan.model.located
    if located.source == "folder":
        title = f"`{located.id}` is a folder on this machine, and a server knows models by their hub ids"
        raise failure(Diagnostic("R829", title, help="give a hub id with --model, or run it here"), Exit.USAGE)
    if located.adapter is not None or located.quantization is not None:
        what = "an adapter" if located.adapter is not None else "a quantisation"
        title = f"this recipe puts {what} on its model, and a server runs models as they are on the hub"
        raise failure(Diagnostic("M666", title, help="run it here, or leave that option out"), Exit.USAGE)
    host = require_safe(address(options.host), options.insecure)
    progress(f"asking {host}", 0, 0)
    revision = None if options.model else plan.recipe.model.revision
    link = Link(host, api_key(), located.id, revision, plan.dtype, progress, tell, insecure=options.insecure)
    _tell_of_trust(host, tell)
    return Session(open_remote(located, plan.dtype), "ndif", link)


def _tell_of_trust(host: str, tell: Callable[[str], None]) -> None:
    """Say, the first time that a host other than NDIF's own is used, that it is trusted."""
    file = cache_root() / "trusted-hosts.json"
    try:
        known = list(read_json(file, HOSTS))
    except (OSError, ValueError):
        known = []
    if host == DEFAULT_HOST or host in known:
        return
    tell(f"note: results of {host} are unpickled, so whoever runs that server can run code on this machine")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, sorted([*known, host]))
