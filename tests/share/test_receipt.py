"""What `verify` calls equal, tolerated and different."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from steerdsl.data import Data, DataRow
from steerdsl.lang.recipe import DataSpec
from steerdsl.share.receipt import (
    TOLERANCE,
    compare_answers,
    compare_files,
    compare_rows,
    compare_vectors,
    walk,
)


def found(items: Any) -> dict[str, str]:
    return {item.name: item.status for item in items if item.status != "equal"}


@pytest.mark.parametrize(
    ("before", "now", "status"),
    [
        (1.0, 1.0, "equal"),
        (100.0, 100.009, "tolerated"),
        (100.0, 100.02, "different"),
        (0.0, 0.00009, "tolerated"),
        (0.0, 0.0002, "different"),
        (3, 4, "different"),
        (1.0, None, "different"),
        (None, None, "equal"),
        (True, 1.00001, "different"),
        ("a", "b", "different"),
        ([1.0], [1.0, 2.0], "different"),
    ],
)
def test_numbers_within_tolerance(before: Any, now: Any, status: str) -> None:
    (item,) = walk("scores", "x", before, now, TOLERANCE["float32"].figures)
    assert (item.section, item.name, item.status, item.before, item.now) == ("scores", "x", status, before, now)


@pytest.mark.parametrize(
    ("before", "now", "status"),
    [
        (100.0, 101.9, "tolerated"),
        (100.0, 103.0, "different"),
        (0.5, 0.509, "tolerated"),
        (0.5, 0.515, "different"),  # no figure near 0
        (0.01, 0.03, "different"),
        (0.001, -0.019, "tolerated"),
        (200, 203, "different"),
        (200, 200.0, "equal"),
        ({"chosen": [60]}, {"chosen": [61]}, "different"),
    ],
)
def test_numbers_in_half_precision(before: Any, now: Any, status: str) -> None:
    (item,) = walk("choices", "x", before, now, TOLERANCE["bfloat16"].figures)
    assert item.status == status


def test_leaves_are_named_by_their_path() -> None:
    before = {"s": {"points": [{"at": {"angle": "0deg"}, "mean": 1.0}]}, "only": 1}
    now = {"s": {"points": [{"at": {"angle": "0deg"}, "mean": 2.0}]}}
    assert found(walk("scores", "", before, now, 0.0)) == {"s.points[0].mean": "different", "only": "different"}


def line(**changes: Any) -> dict[str, Any]:
    return {"step": "s", "variant": "main", "dataset": "e", "row": 3, "sample": 0, "text": "a", **changes}


def test_answers_are_equal_or_are_not() -> None:
    assert found(compare_answers([line()], [line()])) == {}
    place = "step s, variant main, dataset e, row 3, sample 0"
    assert found(compare_answers([line()], [line(text="b")])) == {f"{place}: text": "different"}
    swept = line(point={"angle": "90deg"})
    assert found(compare_answers([line(), swept], [line()])) == {f"{place}, angle 90deg": "different"}


def test_directions_within_tolerance_and_beyond(tmp_path: Path) -> None:
    unit = torch.nn.functional.normalize(torch.arange(12.0).reshape(3, 4) + 1, dim=-1)
    moved = unit.clone()
    moved[1, 0] += 5e-5
    moved[2] = -unit[2]
    for name, rows in {"a": unit, "b": moved}.items():
        (tmp_path / name / "vectors").mkdir(parents=True)
        header = {"steerdsl": json.dumps({"stream": "resid_post"})}
        save_file(
            {"directions": rows, "raw_norms": torch.ones(3)}, tmp_path / name / "vectors" / "v.safetensors", header
        )
    items = list(compare_vectors(tmp_path / "a", tmp_path / "b", TOLERANCE["float32"]))
    assert found(items) == {"v.directions[1]": "tolerated", "v.directions[2]": "different"}
    assert [i.now for i in items if i.status == "different"] == ["cosine -1.000000"]
    (tmp_path / "b" / "vectors" / "v.safetensors").write_bytes(b"torn")
    assert found(compare_vectors(tmp_path / "a", tmp_path / "b", TOLERANCE["float32"])) == {
        "v.safetensors": "different"
    }


@pytest.mark.parametrize(
    ("dtype", "cosine", "status"),
    [
        ("bfloat16", 0.95, "different"),
        ("bfloat16", 0.998, "different"),
        ("bfloat16", 0.9995, "tolerated"),
        ("float16", 0.998, "different"),
        ("float32", 0.9995, "different"),
        ("float32", 1 - 1e-7, "tolerated"),
    ],
)
def test_directions_are_judged_by_their_cosine(tmp_path: Path, dtype: str, cosine: float, status: str) -> None:
    """In 4096 dimensions, where a number of a unit direction is smaller than any tolerance."""
    random = torch.randn(4096, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = torch.linalg.qr(random).Q.T
    turned = cosine * one + (1 - cosine**2) ** 0.5 * other
    layers = torch.tensor([7])
    for name, row in {"a": one, "b": turned}.items():
        (tmp_path / name / "vectors").mkdir(parents=True)
        tensors = {"directions": row[None], "mean_positive": 50 * row[None], "layers": layers, "norms": layers * 1.0}
        save_file(tensors, tmp_path / name / "vectors" / "v.safetensors")
        layers = layers + 1
    found_here = found(compare_vectors(tmp_path / "a", tmp_path / "b", TOLERANCE[dtype]))
    expected = {"directions[0]": status, "mean_positive[0]": status, "layers[0]": "different", "norms[0]": "different"}
    assert found_here == {f"v.{name}": value for name, value in expected.items()}


def test_rows_are_named_and_unsafe_ones_are_not_shown() -> None:
    rows = tuple(DataRow(i, text) for i, text in enumerate(("a?", "b?", "c?")))
    data = Data(DataSpec("e", "file", "e.txt"), rows, "", None)
    record = {"data": {"e": {"ids": [rows[0].id, "0" * 16, rows[2].id]}}}
    (item,) = compare_rows(record, {"e": data})
    assert (item.name, item.before, item.now) == ("row 1 of data e", "0" * 16, "b?")
    unsafe = replace(data, spec=replace(data.spec, unsafe=True))
    (item,) = compare_rows(record, {"e": unsafe})
    assert item.now == rows[1].id
    fewer = {"data": {"e": {"ids": [rows[0].id, rows[2].id]}}}
    assert [(i.name, i.now) for i in compare_rows(fewer, {"e": data})] == [("row 1 of data e", "b?")]
    more = {"data": {"e": {"ids": [*(r.id for r in rows), "f" * 16]}}}
    assert [(i.name, i.before, i.now) for i in compare_rows(more, {"e": data})] == [("row 3 of data e", "f" * 16, None)]


def test_files_that_come_and_go_are_differences_but_not_exports(tmp_path: Path) -> None:
    for name in ("scores.json", "more.json", "model/config.json", "report.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
    export = {"verb": "export", "settings": [["file", "model"]]}
    record = {"files": {"scores.json": digest, "gone.json": digest}, "plan": {"steps": [export]}}
    assert found(compare_files(tmp_path, record)) == {"gone.json": "different", "more.json": "different"}
