"""Names that no file system takes: every place where a recipe names a file ends in a diagnostic."""

from __future__ import annotations

from pathlib import Path

import pytest

import steerdsl
from steerdsl.lang.diagnostics import RecipeError

NAMES = {
    "long": "n" * 5_000,
    "long part": f"data/{'n' * 300}.jsonl",
    "long owner": f"{'n' * 5_000}/data",
    "long data set": f"data/{'n' * 5_000}",
    "long home": "~" + "n" * 5_000,
    "unknown home": "~nobody-of-this-name/data",
    "long gguf": f"{'n' * 5_000}.gguf",
    "deep": "n/" * 3_000 + "n",
    "null": "a\\0b",
    "surrogate": "a\udc80b",
    "beneath a file": "r.steer/x.jsonl",
}
PLACES = {
    "data file": 'dataset d = "{}"\nextract diffmean from d vs generic\n',
    "field": 'dataset d = "{}" with field: "q"\nextract diffmean from d vs generic\n',
    "pairs": 'dataset d = positive: "{}", negative: "{}"\n',
    "model": 'model "{}"\n',
    "vectors": 'v = load "{}"\nsteer s {{ add v }}\n',
    "use": 'use "{}"\n',
    "export": 'v = extract diffmean from econ vs generic\nexport v to "{}"\n',
    "template": 'model "SmolLM2-135M-Instruct" with template: "{}"\n',
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stage", ["check", "plan"])
def test_a_name_that_no_system_takes(stage: str, place: str, name: str, tmp_path: Path) -> None:
    recipe = tmp_path / "r.steer"
    recipe.write_text(PLACES[place].format(NAMES[name], NAMES[name]), encoding="utf-8", errors="surrogateescape")
    try:
        getattr(steerdsl, stage)(recipe)
    except RecipeError as error:
        assert error.diagnostics, "a refusal names its reason"
    except ValueError as error:
        assert "not UTF-8" in str(error) and not isinstance(error, UnicodeError)
