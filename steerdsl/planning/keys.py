"""Content keys: what a step's result depends on, as a hash.

In: recipe values, and the keys of what they name. Out: SHA-256 keys that are equal exactly when the
result must be. A key holds no name, no comment and no place in a file, so renaming a vector or
reformatting a recipe repeats no work; it holds no device or host either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.lang.tuned import Tuned
from steerdsl.registry import find
from steerdsl.store.results import content_key

DEPTH = 2  # of the rule that gives a share of the depth its layer: raise it with the rule


def canonical(value: Any, keys: Mapping[str, str]) -> Any:
    """JSON data for a recipe value, with every name it mentions replaced by that name's key."""
    match value:
        case r.VectorRef(name=name, layers=layers):
            return {"vector": keys.get(name, name), "layers": canonical(layers, keys)}
        case r.PlaneRef(name=name):
            return {"plane": keys.get(name, name)}
        case r.LayerChoice(select=name):
            return {"select": keys.get(name, name)}
        case r.LayerPoint(value=share, share=True):
            return {"is": "share of the depth", "value": share, "rounding": DEPTH}
        case Tuned(of=name, scale=scale, offset=offset):
            return {"tuned": keys.get(name, name), "scale": scale, "offset": offset}
        case r.Mean(data=name):
            return {"mean": keys.get(f"data {name}", name)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name), keys) for f in dataclasses.fields(value) if f.compare}
        if isinstance(value, r.PlaneExpr):
            fields["version"] = find("plane", value.second if isinstance(value.second, str) else "vector").version
        return {"is": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(k): canonical(v, keys) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(v, keys) for v in value]
    return value


def step_key(op: str, version: int, keys: Mapping[str, str], **parts: Any) -> str:
    """The key of a result of `op`: its version and everything it was made from."""
    return content_key({"op": op, "version": version, **{k: canonical(v, keys) for k, v in parts.items()}})
