"""The packs beside the gallery's records: whole, of today's recipes and data, and the source of the pages' figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from blocks import ROOT, blocks
from calling import Call, calls

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.share.pack import Pack, pack_bytes, read_pack, write_members
from steerdsl.share.receipt import compare_files, read_record

GALLERY = ROOT / "docs" / "gallery"
sys.path.insert(0, str(GALLERY))

import figures  # noqa: E402
import records  # noqa: E402

PACKS = sorted((GALLERY / "packs").glob("*.steerpack"))
QUICK = "refusal_weights"  # a dozen short answers: it is verified in a minute

every_pack = pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)


@pytest.fixture
def steerdsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    return calls(monkeypatch, capfd)


def unpacked(pack: Pack, folder: Path) -> Path:
    write_members(pack, folder)
    return folder / "run"


def test_the_run_of_the_readme_has_a_pack_and_the_one_that_is_verified() -> None:
    assert {"econ", QUICK} <= {path.stem for path in PACKS}


@every_pack
def test_a_pack_is_whole_and_its_files_are_those_that_its_record_has(path: Path, tmp_path: Path) -> None:
    run = unpacked(read_pack(path), tmp_path)
    items = list(compare_files(run, read_record(run)))
    assert items and [item.name for item in items if item.status != "equal"] == []


@every_pack
def test_a_pack_names_no_folder_of_the_machine_that_made_it(path: Path) -> None:
    """The folder of the model is the only one that a run of an id knows."""
    pack = read_pack(path)
    model = pack.record["model"]
    assert model["path"] is None
    for name, data in pack.members.items():
        assert model["id"].replace("/", "--").encode() not in data, f"{name} has a folder of the cache of models"


@every_pack
def test_a_pack_is_of_the_recipe_and_the_data_as_they_are(path: Path) -> None:
    pack = read_pack(path)
    recipes = ROOT / "recipes"
    inside = {name.partition("/")[2]: data for name, data in pack.members.items() if name.startswith("recipe/")}
    lock = inside.pop(f"{pack.recipe}.lock")
    assert {name: (recipes / name).read_bytes() for name in inside} == inside
    assert pack.record["model"]["weights_sha256"] in lock.decode()


@every_pack
def test_the_figures_of_the_page_are_made_of_the_pack(path: Path, tmp_path: Path) -> None:
    made = records.small(path.stem, unpacked(read_pack(path), tmp_path))
    assert json.loads(json.dumps(made)) == records.read(path.stem)


@every_pack
def test_the_page_leads_to_the_pack_and_nothing_was_taken_from_a_store(path: Path) -> None:
    pages = [page for page in figures.pages() if f"(packs/{path.name})" in page.read_text(encoding="utf-8")]
    assert path.stem in {page.stem for page in pages}
    assert read_pack(path).record["reused_from"] == []


def test_a_figure_that_was_changed_is_refused(tmp_path: Path) -> None:
    """In the pack by its manifest; with a manifest that was made to fit, by the hashes of the record."""
    pack = read_pack(GALLERY / "packs" / "econ.steerpack")
    scores = pack.members["run/scores.json"]
    forged = {**pack.members, "run/scores.json": scores.replace(b'"n": 56', b'"n": 96', 1)}
    assert forged["run/scores.json"] != scores
    damaged = tmp_path / "damaged.steerpack"
    damaged.write_bytes(pack_bytes(pack.recipe, pack.members).replace(scores, forged["run/scores.json"]))
    with pytest.raises(RecipeError) as caught:
        read_pack(damaged)
    assert caught.value.diagnostics[0].code == "R869" and caught.value.exit_code == 4
    damaged.write_bytes(pack_bytes(pack.recipe, forged))
    run = unpacked(read_pack(damaged), tmp_path / "forged")
    wrong = [item.name for item in compare_files(run, read_record(run)) if item.status == "different"]
    assert wrong == ["scores.json"]


@every_pack
def test_a_pack_is_shown(path: Path, steerdsl: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    code, out, err = steerdsl("show", str(path))
    assert code == 0, err
    assert all(key in out for key in read_pack(path).record["choices"])


def test_what_the_readme_prints_is_what_the_run_printed(
    steerdsl: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = steerdsl("show", str(GALLERY / "packs" / "econ.steerpack"))
    assert code == 0, err
    printed = "\n".join(line.rstrip() for line in out.splitlines())
    shown = [block.text for block in blocks(ROOT / "README.md") if block.language == "text"]
    assert len(shown) == 2
    for text in shown:
        assert "\n".join(line.rstrip() for line in text.splitlines()) in printed


@pytest.mark.slow
def test_a_pack_is_verified_by_computing_it(steerdsl: Call) -> None:
    """On any machine that has the model: its figures are those of a run made here, within tolerance."""
    path = GALLERY / "packs" / f"{QUICK}.steerpack"
    code, out, err = steerdsl("verify", str(path), "--allow-versions", "--quiet", "--json")
    assert code == 0, out + err
    found = json.loads(out)
    assert found["run_again"] and found["different"] == [] and found["equal"] > 50
