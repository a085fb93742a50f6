"""The tour's whole recipe does on the default model what the page says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blocks import ROOT
from calling import Call, calls


@pytest.fixture
def steerdsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    return calls(monkeypatch, capfd)


def whole_recipe() -> str:
    page = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    return page.partition("\n## The complete recipe\n")[2].partition("```steer\n")[2].partition("```")[0]


@pytest.mark.slow
def test_the_whole_recipe_holds_its_claim_and_breaks_nothing(steerdsl: Call) -> None:
    Path("obsessed.steer").write_text(whole_recipe())
    code, out, err = steerdsl("run", "obsessed.steer", "--out", "mine")
    assert code == 0, err
    (check,) = json.loads(Path("mine/record.json").read_text())["checks"]
    assert check["outcome"] == "holds" and check["confidence"] == 0.95 and check["low"] > 0
    assert "breaks the model" not in err
    assert Path("mine/topic.safetensors").is_file() and "holds" in out


@pytest.mark.slow
def test_at_a_share_that_breaks_the_model_the_run_says_so(steerdsl: Call) -> None:
    asked = 'on econ, generic with bleu, rouge_l, keyword_rate("econ")'
    less = 'on generic with keyword_rate("econ"), max_tokens: 24, controls: random, draws: 2'
    assert asked in whole_recipe()
    Path("obsessed.steer").write_text(whole_recipe().replace(asked, less))
    code, _, err = steerdsl("run", "obsessed.steer", "--set", "strength=40%", "--out", "mine")
    assert code == 5  # no topic word in any answer, steered or not
    assert "generic: `obsessed` breaks the model" in err and "lower the strength" in err
