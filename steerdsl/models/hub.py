"""The model hub and its cache on this machine.

In: a model id and a revision. Out: a snapshot's folder. Only safetensors, JSON and tokenizer files
are taken, code in a repository never runs, and a hub that does not answer is given up quickly.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.adapters import SETTINGS, no_adapter
from steerdsl.models.adapters import WEIGHTS as ADAPTER
from steerdsl.models.cache import Progress, need_space, no_progress, unwritable
from steerdsl.models.config import require_steerable
from steerdsl.models.quiet import quiet

DESCRIPTION = ("*.json", "*.jinja", "*.txt", "tokenizer*", "*.model")
WEIGHTS = ("*.safetensors",)
# Other exports of the same weights that some repositories keep next to the usual files.
IGNORED = ("*/*", "consolidated*", "*.onnx")
_TIMEOUT = 4.0
_COMMIT = re.compile("[0-9a-f]{7,39}")  # cut short, as git shows it


class Unreachable(Exception):
    """The hub did not answer, or offline mode is on."""


def snapshot(model_id: str, revision: str | None = None, holds: str = "config.json") -> Path | None:
    """The cached snapshot of a model at `revision` (default: its main branch), or None; `holds` is a file of it.
    No network."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model_id, holds, revision=revision)
    except HFValidationError:
        return None
    if isinstance(config, str):
        return Path(config).parent
    return _abbreviated(model_id, revision, holds) if revision is not None else None


def _abbreviated(model_id: str, revision: str, holds: str) -> Path | None:
    """The one cached snapshot whose commit begins with `revision`, as git and the hub take it."""
    from huggingface_hub import constants

    if not _COMMIT.fullmatch(revision):
        return None
    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{model_id.replace('/', '--')}" / "snapshots"
    found = [f for f in snapshots.glob(f"{revision}*") if (f / holds).is_file()]
    return found[0] if len(found) == 1 else None


def cached_ids() -> dict[str, Path]:
    """Every model in the hub's cache, by id, with the snapshot of its main branch."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    found = {repo.repo_id: snapshot(repo.repo_id) for repo in repos if repo.repo_type == "model"}
    return {model_id: path for model_id, path in found.items() if path is not None}


def fetch(
    model_id: str,
    revision: str | None = None,
    *,
    weights: bool = True,
    progress: Progress = no_progress,
    steerable: bool = True,
) -> Path:
    """Download a snapshot (without weights: only what describes the model) into the hub's cache.

    Raises Unreachable, and RecipeError: M601 (no such model or revision), M603 (gated), M604 (no
    space), M605 (no model that can be steered, said before its weights are fetched), M612 (no
    safetensors), M616 (a cache that cannot be written).
    """
    from huggingface_hub import constants

    info = _info(model_id, revision)
    sizes = [s.size or 0 for s in info.siblings if _is_weights(s.rfilename)]
    if not sizes:
        title = f"`{model_id}` has no weights as safetensors"
        way_out = "other formats can run code when they are opened; choose a model that has safetensors"
        raise RecipeError([Diagnostic("M612", title, help=way_out)])
    folder = _download(model_id, revision, DESCRIPTION)
    if steerable:
        require_steerable(model_id, folder)
    if weights:
        cache = Path(constants.HF_HUB_CACHE)
        need_space(cache, sum(sizes), model_id)
        blobs = cache / f"models--{model_id.replace('/', '--')}" / "blobs"
        with _watched(blobs, f"downloading {model_id}", sum(sizes), progress):
            _download(model_id, revision, WEIGHTS)
    return folder


def fetch_adapter(name: str, revision: str | None = None) -> Path:
    """Download a PEFT adapter, its settings and its weights as safetensors, into the hub's cache.

    Raises Unreachable, and RecipeError: M601 (no such adapter or revision), M603 (gated), M662 (no adapter).
    """
    files = {sibling.rfilename for sibling in _info(name, revision).siblings}
    if lacks := [file for file in (SETTINGS, ADAPTER) if file not in files]:
        raise RecipeError([no_adapter(name, f"there is no {lacks[0]}")])
    return _download(name, revision, (SETTINGS, ADAPTER))


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors") and not any(fnmatch(name, pattern) for pattern in IGNORED)


def _download(model_id: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """Bring the files that match `patterns` into the cache; return the snapshot's folder."""
    from huggingface_hub import snapshot_download

    try:
        with quiet():
            folder = snapshot_download(
                model_id, revision=revision, allow_patterns=list(patterns), ignore_patterns=list(IGNORED)
            )
    except OSError as error:
        raise _explained(error, model_id, revision) from error
    return Path(folder)


def _info(model_id: str, revision: str | None) -> Any:
    """What the hub says about a model."""
    from huggingface_hub import HfApi

    try:
        return HfApi().model_info(model_id, revision=revision, files_metadata=True, timeout=_TIMEOUT)
    except Exception as error:  # the network library's own errors, whose names differ between versions of the client
        raise _explained(error, model_id, revision) from error


def _explained(error: Exception, model_id: str, revision: str | None) -> Exception:
    """What to raise for an error of the client: a refusal with its reason, else Unreachable."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        title = f"`{model_id}` is gated: its owner wants its licence accepted first"
        way_out = f"accept it at https://huggingface.co/{model_id}, then run `hf auth login`"
        return RecipeError([Diagnostic("M603", title, help=way_out)])
    if isinstance(error, errors.RevisionNotFoundError):
        title = f"`{model_id}` has no revision `{revision}`"
        return RecipeError([Diagnostic("M601", title, help="leave the revision out, or give a commit")])
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        title = f"there is no model `{model_id}` on the hub"
        way_out = "check its name; a private model needs `hf auth login`"
        return RecipeError([Diagnostic("M601", title, help=way_out)])
    if isinstance(error, errors.HfHubHTTPError):
        return Unreachable(f"the hub answered {error.response.status_code}")
    refused = unwritable(error) if isinstance(error, OSError) else None
    return refused or Unreachable(str(error))


@contextmanager
def _watched(folder: Path, text: str, total: int, progress: Progress) -> Iterator[None]:
    """Report the growth of `folder` to `progress` while the context lasts."""
    over = threading.Event()
    before = _size(folder)

    def watch() -> None:
        while not over.wait(0.2):
            progress(text, min(_size(folder) - before, total), total, "bytes")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.glob("*") if f.is_file())
