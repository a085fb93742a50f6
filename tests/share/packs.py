"""A small right pack, made of plain bytes, and zips of any kind that are nearly one."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import records
from records import TEXT

RECIPE = "one.steer"
SCORES = {
    "scores": {"bleu": {"econ": {"baseline": {"mean": 100.0, "low": 90.5, "high": 100.0, "n": 8, "values": [100.0]}}}}
}
RECORD: dict[str, Any] = {
    **records.RECORD,
    "checks": [{**records.RECORD["checks"][0], "claim": "scores.bleu.econ < 50"}],
}


def members(**more: bytes) -> dict[str, bytes]:
    """What the smallest pack has, and more."""
    made = {
        f"recipe/{RECIPE}": TEXT.encode(),
        f"recipe/{RECIPE}.lock": b'{"pins": {}, "schema": 1}\n',
        "run/record.json": json.dumps(RECORD).encode(),
        "run/generations.jsonl": b"",
        "run/scores.json": json.dumps(SCORES).encode(),
    }
    return {**made, **more}


def manifest(found: Mapping[str, bytes], **changes: Any) -> bytes:
    """A manifest that names these members, some of its keys changed."""
    facts = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in found.items()}
    return json.dumps({"format": "steerpack", "version": 1, "recipe": RECIPE, "members": facts, **changes}).encode()


def info(name: str, mode: int = 0o100644, compressed: bool = False) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    made.create_system = 3
    made.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    return made


def zipped(found: Mapping[str, bytes], *also: tuple[zipfile.ZipInfo, bytes], first: bytes | None = None) -> bytes:
    """A zip by Python's own writer: a manifest that names everything, the members, and `also`."""
    listed = {**found, **{i.filename: data for i, data in also}}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info("manifest.json"), manifest(listed) if first is None else first)
        for name, data in found.items():
            archive.writestr(info(name), data)
        for made, data in also:
            archive.writestr(made, data)
    return out.getvalue()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "x.steerpack"
    path.write_bytes(data)
    return path
