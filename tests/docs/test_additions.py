"""The table "To add" of docs/architecture.md is followed: one new file for each kind of word, in a copy of the package.

Nothing else of the copy changes. The new words check, explain themselves, run on a tiny model and do what they say; a
recipe that had their names as names of its own means what it meant.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import ROOT
from safetensors.torch import load_file
from tiny import tiny_folder

ADDITIONS = Path(__file__).parent / "additions"
ONE_FILE = re.compile(r"^\| [^|]+ \| one new file in `(steerdsl/[\w/]+/)`(?! that)", re.MULTILINE)

RECIPE = """
nudge = extract middles from econ vs generic at middle_token
best = select layers of nudge by earliest with skip: 1
turn = plane(nudge[best], reversed)

steer pushed {
    nudge nudge[best] by 30 at layers 1 when sine(nudge) > 0.1 with soft: true
    rotate turn by 20deg at layers 2
}

scores = evaluate pushed on generic with letters(of: vowels), max_tokens: 4, controls: none
plot lengths(nudge) to "lengths.png"
export nudge to "nudge.safetensors"
"""
# What a recipe could have written before there were these words.
BEFORE = """
dataset nudge = "nudge.jsonl" with field: "prompt"
letters = extract diffmean from nudge vs generic at token -1
steer earliest { add letters by 10%
    at layers 1 }
scores = evaluate earliest on generic,
    nudge
    with bleu, rouge_l
"""


def folders() -> dict[str, str]:
    """The folders in which the table asks for one file and nothing else, by their last name."""
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## To add")[2]
    return {path.rstrip("/").rpartition("/")[2]: path for path in ONE_FILE.findall(table)}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one new file in each of these folders."""
    house = tmp_path_factory.mktemp("house")
    for name in ("steerdsl", "grammars"):
        shutil.copytree(ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, path in folders().items():
        for file in (ADDITIONS / name).glob("*.py"):
            assert not (house / path / file.name).exists()
            shutil.copy(file, house / path)
    return house


def python(house: Path, cwd: Path, code: str, *words: str) -> str:
    """Standard output of a program that imports a copy of the package, and must succeed."""
    env = {**os.environ, "PYTHONPATH": str(house), "STEERDSL_CACHE": str(cwd / "cache"), "PYTHONSAFEPATH": "1"}
    own = f"import steerdsl.registry as r; assert r.__file__.startswith({str(house)!r}), r.__file__\n"
    command = [sys.executable, "-c", own + code, *words]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def call(house: Path, cwd: Path, *words: str) -> str:
    """Standard output of `steerdsl WORDS…` of a copy."""
    return python(house, cwd, "from steerdsl.cli.main import main; main()", *words)


def test_the_table_asks_for_one_file_where_this_test_adds_one() -> None:
    assert folders().keys() == {folder.name for folder in ADDITIONS.iterdir() if folder.is_dir()}


def test_each_new_word_explains_itself(house: Path, tmp_path: Path) -> None:
    listed = call(house, tmp_path, "explain")
    for file in ADDITIONS.rglob("*.py"):
        assert f"- `{file.stem}`: " in listed


MEANING = """
from steerdsl.lang.check import check_source
from steerdsl.lang.format import format_source
from steerdsl.lang.source import Source
source = Source("before.steer", open("before.steer", encoding="utf-8").read())
recipe, report = check_source(source)
print(recipe, report.found, format_source(source)[0], sep="\\n")
"""


def test_a_recipe_that_had_the_new_words_as_names_means_what_it_meant(house: Path, tmp_path: Path) -> None:
    (tmp_path / "before.steer").write_text(BEFORE, encoding="utf-8")
    new, old = (python(where, tmp_path, MEANING) for where in (house, ROOT))
    assert new == old and new.startswith("Recipe(") and "\n[]\n" in new


@pytest.mark.slow
def test_the_new_words_run(house: Path, tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "model")
    (tmp_path / "added.steer").write_text(RECIPE, encoding="utf-8")
    where = ("--model", str(model), "--dtype", "float32", "--device", "cpu", "--out", "out")
    call(house, tmp_path, "run", "added.steer", *where)
    [scores] = json.loads((tmp_path / "out" / "scores.json").read_text("utf-8")).values()
    lines = (tmp_path / "out" / "generations.jsonl").read_text("utf-8").splitlines()
    answers: dict[str, list[str]] = {}
    for row in map(json.loads, lines):
        answers.setdefault(row["variant"], []).append(row["text"])
    for variant, texts in answers.items():
        vowels = [sum(letter in "aeiouAEIOU" for letter in text) for text in texts]
        assert scores["letters"]["generic"][variant]["mean"] == pytest.approx(sum(vowels) / len(vowels))
    assert answers["pushed"] != answers["baseline"]
    assert (tmp_path / "out" / "lengths.png").stat().st_size > 1000
    assert load_file(tmp_path / "out" / "nudge.safetensors")
