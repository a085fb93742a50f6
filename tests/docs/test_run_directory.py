"""docs/run-directory.md names every key that a run writes, and no other."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from blocks import ROOT
from safetensors import safe_open
from tiny import tiny_folder

from steerdsl.cli.main import main
from steerdsl.forms.record import RECORD
from steerdsl.forms.schema import schema

Key: TypeAlias = tuple[str, ...]

RECIPE = """
param strength = 40%
dataset some = econ with take: 8, seed: 1
dataset other = "other.txt" with held_out: 0%
dataset searched = generic with take: 12, seed: 1

dataset told = answers to other with positive system: "Be brief.", positive prefix: "It is", max_tokens: 3
    keep when distinct_1 > 0.1

topic = extract diffmean from some vs other at mean_content
eraser = extract leace from some vs other at mean_content
best = select layers of topic by fisher
turn = plane(topic[1], pc1)

steer both {
    ablate eraser at layers 1
    add topic by strength at layers best
}
scores = evaluate both on some with bleu, delta_nll, max_tokens: 4, draws: 2
sweep angle over 0deg,90deg {
    rotate turn by angle at layer 1
    swept = evaluate main on some with bleu, delta_nll, max_tokens: 4, draws: 2
}
push = tune power over 0..2 {
    steer pushed { add topic by power at layers 1 }
    tried = evaluate pushed on searched with distinct_1, max_tokens: 2
    maximize distinct_1.searched subject to distinct_1.searched <= 1 with trials: 2, batch: 2
}

check scores.bleu <= 100
plot scores.bleu
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on a tiny model."""
    folder = tmp_path_factory.mktemp("run")
    model = tiny_folder(folder / "model")
    (folder / "other.txt").write_text("".join(f"What is {n} plus {n}?\n" for n in range(8)))
    words = ["run", "-e", RECIPE, "--model", str(model), "--out", "made", "--dtype", "float32", "--device", "cpu", "-q"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.chdir(folder)
        patch.setenv("STEERDSL_CACHE", str(folder / "cache"))
        patch.setattr(sys, "argv", ["steerdsl", *words])
        main()
    assert not end.value.code
    return folder / "made"


def documented(heading: str) -> set[Key]:
    """The first column of every table below a heading, as paths."""
    page = (ROOT / "docs" / "run-directory.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {tuple(cell.replace("[]", ".[]").split(".")) for cell in re.findall(r"^\| `([^`]+)` \|", section, re.M)}


def fits(pattern: Key, path: Key) -> bool:
    """Whether a path is what a pattern says; words in capitals stand for any name."""
    pairs = zip(pattern, path, strict=False)
    return len(pattern) == len(path) and all(p.isupper() or p == part for p, part in pairs)


def compare(value: Any, patterns: set[Key]) -> tuple[set[Key], set[Key]]:
    """Keys that are written and not documented, and the other way round."""
    unknown: set[Key] = set()
    seen: set[Key] = set()

    def walk(value: Any, path: Key) -> None:
        found = {pattern for pattern in patterns if fits(pattern, path)}
        seen.update(found)
        deeper = any(fits(pattern[: len(path)], path) for pattern in patterns - found if len(pattern) > len(path))
        if isinstance(value, dict) and (deeper or not path):
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, list) and deeper:
            for item in value:
                walk(item, (*path, "[]"))
        elif not found:
            unknown.add(path)

    walk(value, ())
    return unknown, patterns - seen


def test_record(run: Path) -> None:
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    assert compare(record, documented("record.json")) == (set(), set())


def named(rule: Any, path: Key = ()) -> Iterator[Key]:
    """The path of every value that a JSON schema names; `X` stands for any name."""
    inner = [((name,), one) for name, one in rule.get("properties", {}).items()]
    inner += [(("[]",), rule["items"])] if "properties" in rule.get("items", {}) else []
    inner += [(("X",), rule["additionalProperties"])] if "additionalProperties" in rule else []
    for step, one in inner:
        yield from named(one, (*path, *step))
    if not inner:
        yield path


def test_the_schema_names_what_the_page_names() -> None:
    patterns = documented("record.json")
    for path in named(schema(RECORD)):
        # Values that the page describes as a whole, such as `judge`, have one line.
        known = {pattern for pattern in patterns if fits(pattern[: len(path)], path[: len(pattern)])}
        assert known or path[-1] == "X", path


def test_generations(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "generations.jsonl").read_text(encoding="utf-8").splitlines()]
    keys = {key for (key,) in documented("generations.jsonl")}
    assert {key for line in lines for key in line} == keys
    lacking = {frozenset(keys - line.keys()) for line in lines}
    asked = ("system", "prefix")  # of an answer that is a row of a data set
    scored = {frozenset((*some, *asked)) for some in (("point", "draw"), ("point",), ("draw",), ())}
    assert lacking == {*scored, frozenset(("point", "draw")), frozenset(("point", "draw", *asked))}


def test_answers_of_a_data_set(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "data" / "told.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 16 and {line["side"] for line in lines} == {"positive", "negative"}
    assert {key for line in lines for key in line} == {key for (key,) in documented("data/NAME.jsonl")}


def test_scores(run: Path) -> None:
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    patterns = documented("scores.json")
    swept = {pattern for pattern in patterns if "points" in pattern}
    assert compare({"scores": scores["scores"]}, patterns - swept) == (set(), set())
    assert compare({"swept": scores["swept"]}, swept) == (set(), set())
    inner = {"swept": scores["swept"]["points"][0]["scores"]}
    assert compare(inner, patterns - swept) == (set(), set())


def test_scores_as_a_table(run: Path) -> None:
    """Every column is documented, and every number is that of scores.json."""
    with (run / "scores.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    columns = {key for (key,) in documented("scores.csv")}
    assert {"at AXIS" if name.startswith("at ") else name for name in lines[0]} == columns
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    tables = [("scores", "", scores["scores"])]
    for name, axis in (("swept", "angle"), ("tried", "power")):
        tables += [(name, point["at"][axis], point["scores"]) for point in scores[name]["points"]]
    found = {
        (evaluation, at, metric, data, variant): figures
        for evaluation, at, table in tables
        for metric, by_data in table.items()
        for data, by_variant in by_data.items()
        for variant, figures in by_variant.items()
    }
    for line in lines:
        at = line["at angle"] or line["at power"]
        names = (line["evaluation"], at, *(line[name] for name in ("metric", "data", "variant")))
        figures = found[names] if not line["against"] else found[names]["against"][line["against"]]
        value = figures["difference" if line["against"] else "mean"]
        wanted = {"value": value, **{name: figures.get(name) for name in ("low", "high", "p", "p_holm", "rank", "n")}}
        for name, number in wanted.items():
            assert (float(line[name]) if line[name] else None) == number
    assert len(lines) == len(found) + sum(len(figures.get("against", ())) for figures in found.values())


def test_vectors(run: Path) -> None:
    names = {key for (key,) in documented("vectors/NAME.safetensors")}
    tensors: set[str] = set()
    keys: set[str] = set()
    for path in (run / "vectors").iterdir():
        with safe_open(path, "pt") as file:
            tensors |= set(file.keys())
            keys |= json.loads(file.metadata()["steerdsl"]).keys()
    assert tensors | keys == names
    assert {path.stem for path in (run / "vectors").iterdir()} == {"topic", "eraser"}


def test_other_files_are_those_of_the_page(run: Path) -> None:
    page = (ROOT / "docs" / "run-directory.md").read_text(encoding="utf-8")
    tree = page.partition("```text\n")[2].partition("```")[0]
    assert all(path.name in tree for path in run.iterdir())
