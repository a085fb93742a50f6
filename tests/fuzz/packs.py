"""Fuzz what is shared and read back: packs, run directories, locks, results of the store.

python tests/fuzz/packs.py --count 1000
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import whole_records as records
from fuzz.harness import ODD, WRONG, changed, command, main, mutated, places, without

from steerdsl.share.archive import zip_bytes
from steerdsl.share.lock import read_lock
from steerdsl.share.pack import pack_bytes, read_pack, unpack
from steerdsl.share.receipt import compare_results, read_record
from steerdsl.store.maintenance import damages, stored
from steerdsl.store.results import Store

FILES: dict[str, Any] = {
    "record.json": records.RECORD,
    "scores.json": records.SCORES,
    "generations.jsonl": records.ANSWERS,
}
LINKS = ("/etc/hostname", "/dev/zero", "/proc/self/environ", "record.json", "..")


def case(chance: random.Random, folder: Path) -> str:
    return chance.choice((run_directory, run_directory, pack, lock, store))(chance, folder)


def damaged(chance: random.Random, value: Any, lines: bool = False) -> bytes:
    """A JSON value with one to three places wrong, as text, now and then with noise."""
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        there = [p for p in places(value) if p]
        if there:
            place = chance.choice(there)
            value = without(value, place) if chance.random() < 0.2 else changed(value, place, chance.choice(WRONG))
    text = "\n".join(map(json.dumps, value)) if lines and isinstance(value, list) else json.dumps(value)
    data = text.encode()
    if chance.random() < 0.03:
        data = chance.choice(ODD) * 20_000
    return mutated(chance, data) if chance.random() < 0.25 else data


def run_directory(chance: random.Random, folder: Path) -> str:
    """A run whose files are damaged or links, read by every command that runs nothing."""
    good, bad = records.save(folder / "good"), records.save(folder / "bad")
    for name in chance.sample(list(FILES), chance.choice((1, 1, 2))):
        path = bad / name
        if (kind := chance.random()) < 0.9:
            path.write_bytes(damaged(chance, FILES[name], name.endswith("jsonl")))
            continue
        path.unlink()
        if kind < 0.93:
            os.mkfifo(path)
        elif kind < 0.97:
            path.symlink_to(chance.choice(LINKS))
    words = chance.choice(
        (("show",), ("show", "--json"), ("report",), ("diff", str(good)), ("diff", "--json", str(good)), ())
    )
    if words:
        command(words[0], str(bad), *words[1:])
        return f"read by {words[0]}"
    read_record(bad)
    list(compare_results(good, bad, "float32"))
    return "read by verify"


def pack(chance: random.Random, folder: Path) -> str:
    """A pack with damaged members, names or manifest; what is accepted is unpacked and its card written."""
    made = {
        "recipe/one.steer": records.TEXT.encode(),
        "recipe/one.steer.lock": b'{"pins": {}, "schema": 1}\n',
        **{f"run/{name}": damaged(chance, FILES[name], name.endswith("jsonl")) for name in FILES},
    }
    if chance.random() < 0.3:
        made[chance.choice(NAMES)] = chance.choice((b"", b"x", b"\x89PNG\r\n\x1a\n", b"\x00" * 20))
    if chance.random() < 0.2:
        del made[chance.choice(list(made))]
    facts = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in made.items()}
    manifest = {"format": "steerpack", "version": 1, "recipe": "one.steer", "members": facts}
    odd = zip_bytes({"manifest.json": damaged(chance, manifest), **{_encodable(n): d for n, d in made.items()}})
    data = odd if chance.random() < 0.3 else pack_bytes("one.steer", {_encodable(n): d for n, d in made.items()})
    path = folder / "one.steerpack"
    path.write_bytes(mutated(chance, data) if chance.random() < 0.3 else data)
    home = unpack(read_pack(path))
    assert home.is_relative_to(os.environ["STEERDSL_CACHE"])
    command("push", str(path), "--repo", "a/b", "--dry-run")
    return "unpacked"


NAMES = (
    "run/../x.txt",
    "/x.txt",
    "run/\x1b[2J.txt",
    "run/con.txt",
    "run/" + "x" * 300 + ".txt",
    "run/a.txt",
    "run/a.pkl",
    "x",
)


def _encodable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def lock(chance: random.Random, folder: Path) -> str:
    path = folder / "one.steer.lock"
    pins = {f"params.p{i}": chance.choice(WRONG) for i in range(chance.choice((1, 5, 50)))}
    path.write_bytes(damaged(chance, {"schema": 1, "pins": pins}))
    if chance.random() < 0.05:
        path.unlink()
        os.mkfifo(path)
    return f"lock of {type(read_lock(path)).__name__}"


def store(chance: random.Random, folder: Path) -> str:
    """A store with one result whose description or file is damaged: it is made again, and told of."""
    made = Store(folder / "store")
    key = hashlib.sha256(b"key").hexdigest()
    result = made.put(key, {"kind": "scores", "steer": "x"}, lambda fresh: write(fresh / "scores.json"))
    meta = json.loads((result / "meta.json").read_text())
    if (kind := chance.random()) < 0.8:
        (result / "meta.json").write_bytes(damaged(chance, meta))
    elif kind < 0.9:
        (result / "scores.json").unlink()
        os.mkfifo(result / "scores.json")
    else:
        (result / "scores.json").unlink()
        (result / "scores.json").symlink_to(chance.choice(LINKS))
    list(stored(made.root)), list(damages(made.root)), made.has(key)
    return "stored" if made.load(key, lambda found: (found / "scores.json").read_bytes()) else "made again"


def write(path: Path) -> None:
    path.write_text(json.dumps(records.SCORES))


if __name__ == "__main__":
    main(case, __doc__ or "", 1000)
