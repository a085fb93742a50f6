"""What a person sees at the end of a run, and in `show`: a summary, each answer where it belongs, every exit said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from steerdsl.show.tables import answers
from steerdsl.show.terminal import Terminal

SAMPLED = """
dataset a = econ with take: 24
dataset b = generic with take: 8, seed: 1
topic = extract diffmean from a vs b at mean_content
best = select layers of topic by max_norm
steer more { add topic by 300% at layers best }
wild = generate from a with steer: more, temperature: 2, max_tokens: 8, seed: 5
short = evaluate more on a with bleu, max_tokens: 5, controls: none
long = evaluate more on a with zlib_ratio, max_tokens: 9, controls: none
check short.bleu.a >= 0
check long.zlib_ratio.a > 1000
"""


def rows(folder: str) -> list[dict[str, Any]]:
    return [json.loads(row) for row in Path(folder, "generations.jsonl").read_text().split("\n") if row]


@pytest.fixture
def made(on_tiny: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs the recipe, with the store of all tests of this file; gives the call."""
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path_factory.getbasetemp() / "ends"))
    yield on_tiny


def test_the_end_is_some_fifteen_lines_with_what_a_person_asks_first(made: Any) -> None:
    code, out, err = made("run", "-e", SAMPLED, "--out", "r")
    assert code == 4, err
    record = json.loads(Path("r/record.json").read_text())
    lines = out.splitlines()
    named = {line.split("  ")[0]: line for line in lines if not line.startswith(" ")}
    assert len(lines) <= 20
    assert lines[0].startswith("run") and "check failed in " in lines[0] and "(float32 on cpu, " in lines[0]
    assert f"layer {record['choices']['best']['chosen'][0]} of topic, by max_norm" in named["best"]
    assert "bleu on a" in named["more, short"] and "zlib_ratio on a" in named["more, long"]
    assert named["holds"].split("  ", 1)[1].strip().startswith("check short.bleu.a >= 0: ")
    assert "check long.zlib_ratio.a > 1000: " in named["fails"] and "against 1000" in named["fails"]
    assert "r/report.html" in named["report"] and "steerdsl show r" in named["report"]
    assert all(f"[{i}/8] " in err for i in range(1, 9))


def test_answers_stand_under_the_step_that_asked_in_terminal_and_report(made: Any) -> None:
    made("run", "-e", SAMPLED, "--out", "r", "-q")
    by_step: dict[str, dict[str, str]] = {}
    kept = rows("r")
    prompt = next(row for row in kept if row["step"] == "short")["prompt"]
    for row in kept:
        if row["prompt"] == prompt and row["sample"] == 0 and row["variant"] != "reference":
            by_step.setdefault(row["step"], {})[row["variant"]] = row["text"]
    assert by_step["wild"]["more"] != by_step["short"]["more"] != by_step["long"]["more"]
    console = Terminal(record=True, width=10_000, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in answers(kept):
        console.print(part)
    blocks = console.export_text().split(f"{prompt}\n")
    found: dict[str, str] = {}
    for before, after in pairwise(blocks):
        found[before.splitlines()[-1].split(",")[0]] = after
    assert set(found) == {"wild", "short", "long"}
    for step, texts in by_step.items():
        shown = found[step].split("\n\n")[0]
        for variant, text in texts.items():
            first = next((line.strip() for line in text.splitlines() if line.strip()), "(empty)")
            own = next(line for line in shown.splitlines() if line.startswith(variant))
            assert own.removeprefix(variant).strip().startswith(first[:3]), (step, variant)
    page = Path("r/report.html").read_text()
    assert all(f"{step} on a: " in page for step in by_step)


def test_quiet_prints_the_claim_that_does_not_hold_and_nothing_else(made: Any) -> None:
    code, out, err = made("run", "-e", SAMPLED, "--out", "r", "-q")
    assert (code, out) == (4, "")
    assert err.startswith("fails: check long.zlib_ratio.a > 1000: ") and " against 1000; 1 prompt " in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "plan"])
def test_json_is_printed_for_a_recipe_that_is_refused(made: Any, command: str) -> None:
    code, out, err = made(command, "-e", "ablate layers 6", "--json")
    found = json.loads(out)
    assert code == 1 and found["state"] == "failed" and found["diagnostics"][0]["code"] == "S413"
    assert "error[S413]" in err


def test_json_of_a_run_that_fails_says_why(made: Any) -> None:
    text = SAMPLED.partition("wild")[0] + "far = plane(topic[best], pc1)\nrotate far by 20deg at layers 99\n"
    code, out, _ = made("run", "-e", text, "--out", "r", "--json")
    assert code != 0 and json.loads(out)["diagnostics"][0]["code"].startswith(("P", "R"))


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("--dtype", "int8", "error[M609]: `int8` is not a dtype"),
        ("--dtype", "flaot32", "error[M609]: `flaot32` is not a dtype\nhelp: did you mean `float32`?"),
        ("--device", "tpu", "error[M608]: `tpu` is not a device"),
        ("--device", "cuda:x", "error[M608]: `cuda:x` is not a device"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan", "lock", "eject", "verify", "parity"])
def test_words_that_are_no_place_are_refused_before_anything_is_read(
    steerdsl: Any, monkeypatch: pytest.MonkeyPatch, command: str, option: str, value: str, error: str
) -> None:
    from importlib import import_module

    module = import_module(f"steerdsl.cli.{command}")
    if hasattr(module, "load_recipe"):
        monkeypatch.setattr(module, "load_recipe", lambda *given: time.sleep(60))
    code, out, err = steerdsl(command, "nothing.steer", option, value)
    if command == "verify" and option == "--dtype":
        assert code == 2  # it has the record's
        return
    assert (code, out) == (2, "") and err.startswith(error)


def test_a_plan_says_one_thing_of_the_weights(on_tiny: Any) -> None:
    code, out, _ = on_tiny("plan", "-e", SAMPLED)
    said = " ".join(out.split())
    assert code == 0 and "here, hashed when they are first read" in said
    assert "not on this machine" not in said and "will run, unless the store has it" in said


def test_titles_of_pictures_give_values_and_a_chosen_layer_can_be_drawn(made: Any) -> None:
    text = (
        'param size = 2 "how much"\n'
        + SAMPLED.partition("wild")[0].replace("300%", "size")
        + "s = evaluate more on a with bleu, max_tokens: 4, controls: none\n"
        + 'other = extract probe from a vs b at mean_content\nplot s.bleu to "s.svg"\n'
        + 'plot pca(topic, layer: best) to "pca.svg"\nplot cosine(topic, other) to "cos.svg"\n'
    )
    code, _, err = made("run", "-e", text, "--out", "r")
    assert code == 0, err
    assert "warning: plot" not in err
    layer = json.loads(Path("r/record.json").read_text())["choices"]["best"]["chosen"][0]
    texts = {name: Path("r", name).read_text() for name in ("s.svg", "pca.svg", "cos.svg")}
    assert f"add topic by 2 at layers {layer}" in texts["s.svg"]
    assert f"<!-- layer {layer} -->" in texts["pca.svg"] and "topic, other" in texts["cos.svg"]
