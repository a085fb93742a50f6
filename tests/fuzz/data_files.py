"""Fuzz what a recipe reads: data files of every format, lists of words, task files.

python tests/fuzz/data_files.py --count 2000
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.harness import ODD, WRONG, changed, main, mutated, places, without

from steerdsl.data import load, load_task
from steerdsl.data.topic_words import load_words
from steerdsl.lang.recipe import DataSpec, Where

ROWS = [
    {
        **{"prompt": f"What is {n}?", "answer": str(n), "choices": ["a", "b"], "positive": "p", "negative": "n"},
        **{"inner": {"text": str(n)}, "marks": [0, 1]},
        "messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": "So."}],
    }
    for n in range(4)
]
TASK = {
    "task": "t",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "{{answer}}",
    "fewshot_config": {"sampler": "first_n", "samples": []},
    "metric_list": [{"metric": "acc", "aggregation": "mean"}],
    "generation_kwargs": {"until": ["\n"]},
    "repeats": 1,
    "metadata": {"version": 1.0},
}
FIELDS = (
    {},
    {"prompt": "prompt"},
    {"prompt": "answer", "choices": "choices"},
    {"positive": "positive", "negative": "negative"},
    {"prompt": "messages", "answer": "messages"},
    {"prompt": "inner.text", "choices": ("prompt", "answer"), "answer": "marks"},
)
WHERE = (
    (),
    (),
    (Where("answer", "==", 1.0),),
    (Where("answer", "!=", "2"), Where("prompt", "!=", "x")),
    (Where("inner.text", "<", 3.0),),
    (Where("none", "==", True),),
)
SIDED = {"positive": (Where("answer", "<", 2.0),), "negative": (Where("answer", ">=", 2.0),)}
NAMES = ("a", "x" * 300, "é", "a b", "..", "sub/../a", "\x00", "a" * 100 + "/b")
TAGS = (
    "!!int",
    "!!float",
    "!!bool",
    "!!timestamp",
    "!!binary",
    "!!set",
    "!!omap",
    "!!python/name:os.system",
    "!x",
    "&a",
    "*a",
)


def case(chance: random.Random, folder: Path) -> str | None:
    kind = chance.choice(("jsonl", "json", "csv", "tsv", "txt", "parquet", "words", "yaml", "yaml"))
    return yaml_case(chance, folder) if kind == "yaml" else data_case(chance, folder, kind)


def data_case(chance: random.Random, folder: Path, kind: str) -> str | None:
    """A file of rows with something wrong in it, or something that is no file."""
    ending = "txt" if kind == "words" else kind
    name = f"{chance.choice(NAMES)}.{ending}" if chance.random() < 0.2 else f"a.{ending}"
    with contextlib.suppress(OSError, ValueError):  # a name that no file has: it is asked for all the same
        place(chance, folder / name, rows(chance, ending))
    if kind == "words":
        load_words(name, root=folder)
        return "read words"
    fields = chance.choice(FIELDS)
    take = chance.choice((None, None, 2, 10**6))
    sides = SIDED if chance.random() < 0.1 and "positive" not in fields else {}
    columns = chance.choice(((), (), (), ("prompt", "a", "b")))
    spec = DataSpec(
        "d", "file", name, fields=fields, take=take, where=chance.choice(WHERE), sides=sides, columns=columns
    )
    load(spec, root=folder)
    return "read"


def rows(chance: random.Random, ending: str) -> bytes:
    lines: list[str]
    made: list[object] = [
        changed(row, chance.choice(list(places(row))), chance.choice(WRONG)) if chance.random() < 0.3 else row
        for row in ROWS
    ]
    if ending == "parquet":
        data = table(made if chance.random() < 0.5 else ROWS)
        return mutated(chance, data) if chance.random() < 0.7 else data
    if ending == "jsonl":
        lines = [json.dumps(row) for row in made]
    elif ending == "json":
        columns = {name: [row[name] for row in ROWS][: chance.choice((4, 4, 2, 0))] for name in ROWS[0]}
        lines = [json.dumps(chance.choice((made, columns, {"data": made}, made[0], [made])), indent=1)]
    elif ending in ("csv", "tsv"):
        width = chance.choice((1, 3, 3, 3, 2000, 200_000))
        sign = chance.choice((",", ";", "\t", "|"))
        lines = ["sep=;"] * (chance.random() < 0.1)
        lines += [
            sign.join(f"{chance.choice(('prompt', 'a', chr(34), ''))}{i}" for i in range(width)) for _ in range(3)
        ]
    else:
        lines = [chance.choice(("one", "two words", "#", " ", "x" * 100_000, "\u2028")) for _ in range(5)]
    coding = chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16"))
    data = "\n".join(lines).encode(coding, "surrogatepass")
    if chance.random() < 0.05:
        data = chance.choice(ODD) * 10_000
    return mutated(chance, data) if chance.random() < 0.5 else data


def table(made: list[Any]) -> bytes:
    """Rows as parquet, where their values make columns at all."""
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_pylist(made), out)
    except (pyarrow.ArrowException, TypeError, ValueError, AttributeError, OverflowError):
        out = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), out)
    return out.getvalue()


def place(chance: random.Random, path: Path, data: bytes) -> None:
    """Put a file there, now and then something that only looks like one."""
    if (kind := chance.random()) > 0.1:
        path.write_bytes(data)
    elif kind > 0.07:
        os.mkfifo(path)
    elif kind > 0.05:
        path.symlink_to(chance.choice(("/etc/hostname", "/dev/zero", path.name, "/proc/self/mem", "../../around")))
    elif kind > 0.03:
        path.mkdir()


def yaml_case(chance: random.Random, folder: Path) -> str:
    """A task file with values of other kinds, tags, anchors and noise."""
    place(chance, folder / "rows.jsonl", "\n".join(map(json.dumps, ROWS)).encode())
    path = chance.choice([p for p in places(TASK) if p])
    config = without(TASK, path) if chance.random() < 0.2 else changed(TASK, path, chance.choice(WRONG))
    text = json.dumps(config, indent=chance.choice((None, 1)))
    if chance.random() < 0.5:
        at = chance.choice([i for i, c in enumerate(text) if c in ":,"]) + 1
        text = f"{text[:at]} {chance.choice(TAGS)} {text[at:]}"
    data = text.encode()
    (folder / "t.yaml").write_bytes(mutated(chance, data) if chance.random() < 0.4 else data)
    load_task("t.yaml", folder)
    return "read"


if __name__ == "__main__":
    main(case, __doc__ or "", 2000)
