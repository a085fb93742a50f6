"""`steerdsl parity`, and what `--on ndif` refuses before it asks a server."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from steerdsl.engine.backend_comparison import Footprint, Trail, compare
from steerdsl.measure.table import of_json
from steerdsl.methods.finite import NotFinite
from steerdsl.methods.types import Directions, Plane, Vector

RECIPE = """
dataset a = econ with take: 6, seed: 1
dataset b = generic with take: 6, seed: 1
topic = extract diffmean from a vs b at last_token
best = select layers of topic by dispersion keep top 1
steer s { ablate topic[best] everywhere }
scores = evaluate s on a.held_out with bleu, perplexity, max_tokens: 4
"""


def test_parity_with_a_rehearsal(on_tiny: Any) -> None:
    code, out, err = on_tiny("parity", "-e", RECIPE, "--on", "simulate", "--quiet")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["step", "vectors", "layers", "logits", "scores", "tokens"]
    assert lines[1] == ["1", "extract", "topic", "0", "-", "-", "-", "-"]
    assert lines[2] == ["2", "select", "best", "-", "same", "-", "-", "-"]
    assert lines[4][:7] == ["4", "evaluate", "scores", "-", "-", "0", "0"]
    assert out.splitlines()[4].endswith("answers differ") and " 0 of " in out.splitlines()[4]
    assert err.endswith("local and simulate are equal (float32); comparison in recipe.parity.json\n")
    receipt = json.loads(Path("recipe.parity.json").read_text())
    assert receipt["equal"] and receipt["places"] == ["local", "simulate"]
    assert receipt["limits"] == {"vectors": 1e-6, "logits": 1e-4, "scores": 1e-4}
    assert [len(side) for side in receipt["steps"][1]["layers"]["best"]] == [1, 1]
    assert receipt["steps"][3]["tokens"]["answers"] > 0
    assert not list(Path("..").glob("cache/store/*"))  # nothing came from the store or went to it


def footprint(number: float = 0.0, logits: Sequence[float] = (-0.5, -4.0), **more: Any) -> Footprint:
    unit = torch.nn.functional.normalize(torch.tensor([[[1.0, number, 0.0]]]), dim=-1)
    vector = Vector("v", Directions(unit, torch.tensor([[2.0]])), torch.tensor([0]), "resid_post")
    step: Any = type("Step", (), {"number": 1, "verb": "extract", "name": "v"})
    return Footprint(step, 1.0, {"v": vector}, logits=[torch.tensor(logits)], **more)


def compared(a: Footprint, b: Footprint, dtype: str = "float32") -> tuple[bool, dict[str, Any]]:
    found = compare(Trail("local", dtype, [a]), Trail("ndif", dtype, [b]))
    return found["equal"], found["steps"][0]


@pytest.mark.parametrize(
    ("dtype", "number", "apart", "equal"),
    [
        ("float32", 0.0, 0, True),
        ("float32", 5e-7, 5e-7, True),
        ("float32", 1e-3, 1e-3, False),
        ("bfloat16", 0.04, 0.04, True),
        ("bfloat16", 0.33, 0.317, False),  # cosine .95
        ("float16", 0.33, 0.317, False),
    ],
)
def test_vectors_have_a_limit(dtype: str, number: float, apart: float, equal: bool) -> None:
    verdict, step = compared(footprint(), footprint(number), dtype)
    assert verdict is equal
    assert step["vectors"] == pytest.approx(apart, rel=1e-2)


def test_a_vector_that_is_not_finite_is_not_compared() -> None:
    with pytest.raises(NotFinite):
        footprint(math.nan)


@pytest.mark.parametrize(
    ("dtype", "here", "there", "apart", "equal"),
    [
        ("float32", (-0.5, -4.0), (-0.50005, -4.0), 5e-5, True),
        ("float32", (-0.5, -4.0), (-0.5, -4.002), 5e-4, False),
        ("float32", (-0.5, -4.0), (-0.5, 5.0), 9 / 5, False),
        ("float32", (-0.5, math.nan), (-0.5, math.nan), 0, True),
        ("float32", (-0.5, math.nan), (-0.5, -4.0), "inf", False),
        ("float32", (-0.5, -math.inf), (-0.5, -math.inf), 0, True),
        ("float32", (-0.5, -math.inf), (-0.5, -4.0), "inf", False),
        ("float32", (-0.5,), (-0.5, -4.0), "inf", False),
        ("bfloat16", (-0.5, -4.0), (-0.6, -4.1), 0.034, True),
        ("bfloat16", (-0.5, -4.0), (-0.5, 5.0), 9 / 5.02, False),
        ("float16", (-0.5, -4.0), (-0.6, -4.1), 0.034, False),
        ("bfloat16", (-0.5, math.nan), (-0.5, -4.0), "inf", False),
    ],
)
def test_readings_have_a_limit(dtype: str, here: Any, there: Any, apart: Any, equal: bool) -> None:
    verdict, step = compared(footprint(logits=here), footprint(logits=there), dtype)
    assert verdict is equal
    assert step["logits"] == (apart if isinstance(apart, str) else pytest.approx(apart, rel=2e-2))


@pytest.mark.parametrize(
    ("change", "different"),
    [
        ({}, 0),
        ({"token_ids": [1, 3]}, 1),
        ({"ended": True}, 1),
        ({"token_ids": [], "text_sha256": "aa"}, 1),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_answers_are_equal_or_are_not(change: dict[str, Any], different: int, dtype: str) -> None:
    row = {"token_ids": [1, 2], "ended": False}
    verdict, step = compared(footprint(rows=[row]), footprint(rows=[{**row, **change}]), dtype)
    assert verdict == (not different) and step["tokens"] == {"answers": 1, "different": different}


def test_withheld_answers_are_told_apart() -> None:
    a, b = ({"token_ids": [], "text": None, "withheld": True, "text_sha256": digest} for digest in ("aa", "bb"))
    assert compared(footprint(rows=[a]), footprint(rows=[a]))[0]
    assert not compared(footprint(rows=[a]), footprint(rows=[b]))[0]


def test_layers_and_scores_are_compared() -> None:
    def made(layer: int, mean: float | None, p: float = 0.5) -> Footprint:
        figures = {"mean": mean, "values": [mean, None], "against": {"baseline": {"p": p}}}
        return footprint(
            choices={"best": {"chosen": [layer]}}, scores=of_json({"s": {"bleu": {"e": {"main": figures}}}})
        )

    equal, step = compared(made(1, 40.0), made(1, 40.0002, p=0.6))
    assert equal and step["scores"] == pytest.approx(5e-6, rel=1e-3) and step["layers"] == {"best": [[1], [1]]}
    equal, step = compared(made(1, 40.0), made(2, 40.0), "bfloat16")
    assert not equal and step["layers"] == {"best": [[1], [2]]}
    assert not compared(made(1, 40.0), made(1, 50.0), "bfloat16")[0]
    equal, step = compared(made(1, 40.0), made(1, None))
    assert not equal and step["scores"] == "inf"


def test_planes_are_compared() -> None:
    one, other = torch.eye(3).double()[:2], torch.eye(3).double()[1:]
    planes = [{"p": Plane(*axes)} for axes in (one, other)]
    assert compared(footprint(planes=planes[0]), footprint(planes=planes[0]))[0]
    assert not compared(footprint(planes=planes[0]), footprint(planes=planes[1]))[0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--on", "local"), 2, "parity compares this machine with --on simulate or --on ndif"),
        (("--on", "ndfi"), 2, "error[R804]: `ndfi` is not a place to run"),
        (("--on", "ndif", "--host", "https://127.0.0.1:9"), 2, "error[R829]: "),
        (
            ("--on", "simulate", "--out", "nosuch/x.json"),
            3,
            "error[R802]: nosuch/x.json could not be created: no such file or directory\n"
            "help: choose another path with --out\n",
        ),
        (("--on", "simulate", "--out", "."), 3, "error[R802]: . could not be created: is a directory\n"),
    ],
)
def test_what_fails_fails_before_anything_runs(on_tiny: Any, words: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = on_tiny("parity", "-e", RECIPE, *words)
    assert (found, out) == (code, "") and said in err
    assert "local [1/" not in err


def test_a_host_that_is_down_is_found_first(
    steerdsl: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that has a hub id, in the hub's cache."""
    repo = tmp_path / "hub" / "models--acme--tiny"
    shutil.copytree(tiny_model, repo / "snapshots" / ("0" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("steerdsl.engine.remote.PAUSES", ())
    text = "topic = extract diffmean from econ vs generic at last_token"
    words = ("--host", "http://127.0.0.1:9", "--model", "acme/tiny", "--dtype", "float32", "--offline")
    code, _, err = steerdsl("parity", "-e", text, *words)
    assert code == 3 and "error[R820]: no NDIF server answers at http://127.0.0.1:9" in err
    assert "local [1/" not in err


def test_answers_to_unsafe_data_are_compared(on_tiny: Any) -> None:
    Path("harm.jsonl").write_text("".join(json.dumps({"prompt": f"Do {x}?"}) + "\n" for x in "abcd"))
    text = 'dataset harm = "harm.jsonl" with unsafe: true\nout = generate from harm with max_tokens: 3'
    code, out, err = on_tiny("parity", "-e", text, "--on", "simulate", "--quiet")
    assert code == 0, err
    assert " 0 of 4 answers differ" in out


def test_exit_code_4(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerdsl.engine.backend_comparison.apart", lambda x, y, exact: 2e-6)
    text = "topic = extract diffmean from econ vs generic at last_token"
    code, out, err = on_tiny("parity", "-e", text, "--on", "simulate", "--quiet", "--out", "p.json")
    assert code == 4 and "2.0e-06" in out
    assert err.endswith("local and simulate are not equal (float32); comparison in p.json\n")


def test_a_folder_cannot_be_asked_for(on_tiny: Any, tiny_model: Path) -> None:
    code, _, err = on_tiny("run", "-e", RECIPE, "--on", "ndif", "--host", "https://127.0.0.1:9", "--quiet")
    assert code == 2
    assert f"error[R829]: `{tiny_model}` is a folder on this machine, and a server knows models by their" in err
    assert "help: give a hub id with --model, or run it here" in err


def test_an_unsafe_address_is_refused_before_anything(on_tiny: Any) -> None:
    code, _, err = on_tiny("run", "-e", RECIPE, "--on", "ndif", "--host", "http://192.168.0.9")
    assert code == 2 and err.startswith("error[R827]: http://192.168.0.9 is not encrypted")
    assert not Path("runs").exists()


def test_a_plan_asks_no_server(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDIF_HOST", "http://192.168.0.9")
    code, out, err = on_tiny("plan", "-e", RECIPE, "--on", "ndif")
    assert code == 0 and "dispersion" in out, err


@pytest.mark.parametrize("words", [("run",), ("run", "--on", "simulate"), ("parity", "--on", "simulate")])
@pytest.mark.parametrize("option", [("--host", "https://127.0.0.1:9"), ("--insecure",)])
def test_options_of_a_server_want_one(steerdsl: Any, words: tuple[str, ...], option: tuple[str, ...]) -> None:
    code, _, err = steerdsl(*words, "-e", RECIPE, *option)
    assert code == 2 and f"{option[0]} needs --on ndif" in err
    assert not Path("runs").exists()


def test_a_server_in_the_environment_leaves_a_run_here(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDIF_HOST", "https://127.0.0.1:9")
    code, _, err = on_tiny("run", "-e", "topic = extract diffmean from econ vs generic at last_token", "--quiet")
    assert code == 0, err
