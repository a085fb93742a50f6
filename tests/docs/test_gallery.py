"""Every recipe has a page, checks and can be planned; the figures of the pages are those of the records."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from blocks import ROOT, prose

from steerdsl.cli.main import main
from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.format import format_source
from steerdsl.lang.recipe import Check, Evaluate
from steerdsl.lang.source import Source

GALLERY = ROOT / "docs" / "gallery"
sys.path.insert(0, str(GALLERY))

import figures  # noqa: E402
import records  # noqa: E402

RECIPES = sorted((ROOT / "recipes").glob("*.steer"))
DRAFTS = {path for path in RECIPES if path.read_text(encoding="utf-8").startswith("# Draft: ")}  # not yet measured
PAGES = figures.pages()
SEARCHES = {"econ_search"}  # they score what they were fitted on, and are warned of it

every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


@every_recipe
def test_a_recipe_has_a_page(recipe: Path) -> None:
    assert recipe in DRAFTS or any(f"(../../recipes/{recipe.name})" in prose(page) for page in PAGES)


@every_recipe
def test_a_recipe_checks_and_is_formatted(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    _, report = check_source(Source(recipe.name, text))
    found = [d for d in report.found if not (recipe.stem in SEARCHES and d.code == "S450")]
    assert "".join(map(render, found)) == ""
    assert format_source(Source(recipe.name, text))[0] == text


@every_recipe
def test_a_recipe_can_be_planned_on_the_default_model(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["steerdsl", "plan", str(recipe), "--offline"])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert not end.value.code, printed.err
    assert " to run on the model" in printed.out


def test_every_run_is_of_a_recipe() -> None:
    assert {run.recipe for run in records.RUNS.values()} <= {recipe.stem for recipe in RECIPES}


KEPT = [name for name, run in records.RUNS.items() if not run.needs or records.path(name).exists()]


@pytest.mark.parametrize("name", KEPT)
def test_a_run_was_made_of_the_recipe_as_it_is_or_its_page_says_so(name: str) -> None:
    record = records.read(name)
    assert record is not None, f"python docs/gallery/run.py {name}"
    assert record["state"] in ("complete", "check failed", "check not settled")
    if records.outdated(record):
        pages = [page for page in PAGES if f"<!-- run {name} -->" in page.read_text(encoding="utf-8")]
        assert pages, f"python docs/gallery/run.py {name}"
        assert all(records.OUTDATED in page.read_text(encoding="utf-8") for page in pages)
    for picture in records.RUNS[name].pictures:
        assert figures.image(name, picture).stat().st_size <= 80_000


@pytest.mark.parametrize("name", KEPT)
def test_a_run_was_made_on_the_data_as_it_is(name: str) -> None:
    """Of the records that say what they were made on."""
    record = records.read(name)
    assert record is not None
    folders = (ROOT / "recipes" / "data", ROOT / "steerdsl" / "data" / "builtin")
    now = {hashlib.sha256(path.read_bytes()).hexdigest() for folder in folders for path in folder.glob("*.jsonl")}
    assert set(record.get("data", {}).values()) <= now, f"python docs/gallery/run.py {name}"


def test_a_record_that_does_not_say_its_data_is_older_than_the_built_in_sets_of_today() -> None:
    text = (ROOT / "recipes" / "econ.steer").read_text(encoding="utf-8")
    made = {"recipe": "econ", "recipe_sha256": records.essence(text)}
    assert records.outdated(made) and not records.outdated({**made, "data": {}})
    assert records.outdated({**made, "data": {}, "recipe_sha256": "0"})
    own = (ROOT / "recipes" / "caa.steer").read_text(encoding="utf-8")  # reads no built-in set
    assert not records.outdated({"recipe": "caa", "recipe_sha256": records.essence(own)})


def test_growth_tells_a_line_from_an_exponential() -> None:
    line = records.growth(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]]))
    assert line["norm"] == [0, 1, 2, 3, 4] and line["step_cosine"] == [1, 1, 1]
    assert line["line"] == pytest.approx(1) and line["exponential"] < 0.99
    # Each mean at right angles to the last one: no step agrees with the next, and each norm is twice the one before.
    doubled = records.growth(np.diag([1.0, 2.0, 4.0, 8.0]))
    assert doubled["exponential"] == pytest.approx(1) and doubled["factor"] == pytest.approx(2)
    assert doubled["line"] == pytest.approx(1 - (1 / 9 + 4 / 9 + 1 / 9) / (56 / 3))
    assert doubled["step"] == pytest.approx([5**0.5, 20**0.5, 80**0.5])
    assert doubled["step_cosine"] == pytest.approx([-4 / 10, -16 / 40])


@every_page
def test_the_figures_of_a_page_are_those_of_the_records(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert figures.filled(text) == text


@every_page
def test_every_decimal_of_what_we_found_follows_a_record(page: Path) -> None:
    """Figures of the source stand in its own section, and settings in code."""
    found = page.read_text(encoding="utf-8").partition("## What we found")[2].partition("\n## ")[0]
    prose = re.sub(r"`[^`]*`", "", figures.BLOCK.sub("", found))
    prose = re.sub(r"<!--.*?-->", "<!---->", prose)  # the point of a sweep is named in its mark
    assert re.findall(r"(?<![\w.-])\d*\.\d+(?!\d*<!--)(?!\w)", prose) == []


@every_page
def test_a_page_says_what_the_source_found_what_we_found_and_what_differs(page: Path) -> None:
    if page.stem == "index":
        return
    headings = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert headings == ["## What the source found", "## What we found", "## What differs, and why"]


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.json")), ids=lambda path: path.stem)
def test_a_record_is_small_and_has_no_texts(path: Path) -> None:
    assert path.stat().st_size < 60_000
    record = json.loads(path.read_text(encoding="utf-8"))
    assert "values" not in path.read_text(encoding="utf-8") and "/" not in record["model"]


@pytest.mark.parametrize("path", sorted((GALLERY / "claims").glob("*.steer")), ids=lambda path: path.stem)
def test_the_claims_alone_are_those_of_their_recipe(path: Path) -> None:
    """What is extracted, chosen and steered is the same, and so are the claims, but for the data sets of `_few`."""
    own, whole = (
        check_source(Source(file.name, file.read_text(encoding="utf-8")))[0]
        for file in (path, ROOT / "recipes" / path.name.replace("_few", ""))
    )
    assert own is not None and whole is not None and own.params == whole.params
    assert whole.data.items() <= own.data.items()
    made = [step for step in own.steps if not isinstance(step, Evaluate | Check)]
    assert made and all(step in whole.steps for step in made)
    claims = [
        [step.text.replace("few_", "") for step in recipe.steps if isinstance(step, Check)] for recipe in (own, whole)
    ]
    assert claims[0] == claims[1]


def test_a_number_follows_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the text keeps its digits, a table is made anew, and what has no mark stays."""
    against = {"baseline": {"difference": 1.2345, "low": 1.0, "high": 2.0, "p_holm": 0.0421}}
    score = {"mean": 1.2345, "low": 1.0, "high": 2.0, "n": 3, "against": against}
    baseline = {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 3}
    record = {
        "growth": {"pre": {"line": 0.789, "norm": [1.5, 2.5]}},
        "scores": {
            "s": {"kl": {"econ": {"baseline": baseline, "cold": score}}},
            "w": {"at": ["0deg", "10 2"], "n": {"econ": 9}, "means": {"kl": {"econ": {"c": [7.0, 8.0]}}}},
        },
    }
    monkeypatch.setattr(figures, "read", lambda name: record if name == "made" else None)
    text = "It is 9.99<!-- made s.kl.econ.cold --> and 3<!-- made w.kl.econ.c@0deg -->, not 5.\n"
    assert (
        figures.filled(text) == "It is 1.23<!-- made s.kl.econ.cold --> and 7<!-- made w.kl.econ.c@0deg -->, not 5.\n"
    )
    for place, said in {
        "s.kl.econ.cold.low": "1.0",
        "s.kl.econ.cold.n": "3.0",
        "s.kl.econ.cold.baseline.p_holm": "0.0",
        "w.kl.econ.c@10 2": "8.0",
        "w.n.econ": "9.0",
        "growth.pre.line": "0.8",
        "growth.pre.norm@1": "2.5",
    }.items():
        assert figures.filled(f"9.9<!-- made {place} -->") == f"{said}<!-- made {place} -->"
    table = "<!-- scores made s kl -->\nold\n<!-- end -->"
    made = figures.filled(table).splitlines()
    assert made[1] == "|  | kl, econ (n = 3) |"
    assert made[3:6] == ["| baseline | 0 |", "| cold | 1.23 [1, 2] |", "| cold − baseline | 1.23 [1, 2], p = .042 |"]
    sweep = figures.filled("<!-- sweep made w kl -->\nold\n<!-- end -->").splitlines()
    assert sweep[1] == "|  | c, econ (n = 9) |" and sweep[4] == "| 10 2 | 8 |"
    assert figures.MISSING in figures.filled(table.replace("made", "unknown"))


def test_a_record_keeps_means_and_differences_and_no_prompt(tmp_path: Path) -> None:
    against = {"baseline": {"difference": 0.123456, "low": 0.0, "high": 0.3, "p": 0.01, "p_holm": 0.02}}
    cold = {"mean": 1.23456, "low": 1.0, "high": 2.0, "n": 2, "values": [1.0, 1.5], "against": against}
    score = {"kl": {"econ": {"cold": cold}}}
    swept = {"points": [{"at": {"angle": angle}, "scores": score} for angle in ("0deg", "90deg")]}
    record = {
        "model": {"id": "/models/made", "weights_sha256": "0", "path": "/models/made"},
        "recipe": {"text": "# words\nedition 1\n"},
        "data": {"econ": {"sha256": "ab", "ids": ["1", "2"]}},
        "plan": {"params": {}},
        "run": {"dtype": "float32", "device": "cpu"},
        "packages": {},
        "seconds": 1.6,
        "state": "complete",
        "choices": {},
        "judge": None,
        "planes": {"turn": {"kind": "pc1", "explained": 0.333333, "across": 1.0, "flipped": False}, "a b": {}},
        "checks": [],
    }
    (tmp_path / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "scores.json").write_text(json.dumps({"s": score, "w": swept}), encoding="utf-8")
    kept = records.small("econ.tiny", tmp_path)
    figures = kept["scores"]["s"]["kl"]["econ"]["cold"]
    assert figures["mean"] == 1.235 and figures["against"]["baseline"]["difference"] == 0.1235
    means = {"kl": {"econ": {"cold": [1.235, 1.235]}}}
    assert kept["scores"]["w"] == {"at": ["0deg", "90deg"], "n": {"econ": 2}, "means": means}
    assert kept["data"] == {"econ": "ab"}
    assert kept["planes"] == {"turn": {"kind": "pc1", "explained": 0.3333, "across": 1.0}}
    assert "values" not in json.dumps(kept) and "/" not in kept["model"] and kept["seconds"] == 2
    assert kept["recipe_sha256"] == records.essence("edition 1\n# other words\n")
