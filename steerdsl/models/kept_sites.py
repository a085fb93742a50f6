"""What was found of architectures, in the cache and in memory.

In: a config. Out: the `Architecture` that was found for it, or the `Diagnostic` that refused it. The key is the
model type, the versions of transformers and of the probe, and a hash of the config without token ids, so that
nothing is looked at twice and nothing old is taken for new.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from steerdsl.forms.models import LARGEST_SITES, SITES
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.cache import cache_root
from steerdsl.models.sites import Architecture, BlockKind, Site

VERSION = 1  # raise it when the probe finds something else

_IN_MEMORY: dict[str, Architecture | Diagnostic] = {}
_NO_MATTER = ("transformers_version", "architectures", "dtype", "_name_or_path", "quantization_config", "use_cache")


def kept_or(config: Any, find: Callable[[], Architecture]) -> Architecture | Diagnostic:
    """What is known of a config's architecture, else what `find` finds, which is kept."""
    name = key(config)
    known = _IN_MEMORY.get(name) or _read(_file(name))
    if known is None:
        try:
            known = find()
        except RecipeError as error:
            known = error.diagnostics[0]
        else:
            _write(_file(name), known)
    _IN_MEMORY[name] = known
    return known


def is_kept(config: Any) -> bool:
    """Whether an architecture has been looked at before."""
    name = key(config)
    return name in _IN_MEMORY or _read(_file(name)) is not None


def key(config: Any) -> str:
    """What an answer holds for."""
    import transformers

    said = _without(config.to_dict())
    text = json.dumps([VERSION, transformers.__version__, said], sort_keys=True, default=str)
    return f"{config.model_type}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _without(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    passed = (k for k in value if k not in _NO_MATTER and not str(k).endswith(("token_id", "token_ids")))
    return {str(k): _without(value[k]) for k in passed}


def _file(name: str) -> Path:
    return cache_root() / "sites" / f"{name.replace('/', '-')}.json"


def _write(file: Path, found: Architecture) -> None:
    """A cache that cannot be written costs time only."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(to_plain(found)), "utf-8")
        partial.replace(file)


def _read(file: Path) -> Architecture | None:
    try:
        return from_plain(read_json(file, SITES, most=LARGEST_SITES))
    except (OSError, ValueError):
        return None


def to_plain(arch: Architecture) -> dict[str, Any]:
    """An architecture as JSON has it."""
    found = {name: getattr(arch, name) for name in Architecture.__slots__}
    kinds = [{name: getattr(kind, name) for name in BlockKind.__slots__} for kind in arch.kinds]
    for kind in kinds:
        kind["sites"] = {stream: asdict(site) for stream, site in kind["sites"].items()}
        kind["missing"] = dict(kind["missing"])
    return {**found, "kinds": kinds}


def from_plain(said: Mapping[str, Any]) -> Architecture:
    """The architecture that `to_plain` wrote. Raises ValueError for what is none."""
    kinds = []
    for kind in said["kinds"]:
        sites = {stream: Site(**site) for stream, site in kind["sites"].items()}
        both = {"sites": MappingProxyType(sites), "missing": MappingProxyType(kind["missing"])}
        kinds.append(BlockKind(**{**kind, **both, "writes": tuple(kind["writes"]), "order": tuple(kind["order"])}))
    which = tuple(said["which"])
    if not all(0 <= i < len(kinds) for i in which):
        raise ValueError("a block of no kind")
    own = {"kinds": tuple(kinds), "which": which, "embeddings": tuple(said["embeddings"])}
    return Architecture(**{**said, **own})
