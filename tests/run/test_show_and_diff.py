"""`steerdsl show` and `steerdsl diff` on runs of a tiny model, and on what is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from steerdsl.share.comparison import marked

RECIPE = """
param strength = 40%
dataset a = econ with take: 8, seed: 1
dataset b = generic with take: 8, seed: 1
topic = extract diffmean from a vs b at mean_content
best = select layers of topic by max_norm keep top 2
steer more { add topic by strength at layers best }
scores = evaluate more on a, b with bleu, max_tokens: 4, controls: none
sweep angle over 0deg,90deg {
    rotate plane(topic, pc1) by angle at layer 1
    swept = evaluate main on a with bleu, max_tokens: 4, controls: none
}
check scores.bleu.a <= 100
"""


def ids(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "generations.jsonl").read_text().splitlines()]


@pytest.fixture
def one(on_tiny: Any, steerdsl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run in `one`, made once for all tests; calls the command line."""
    kept = tmp_path_factory.getbasetemp() / "shown"
    if not kept.exists():
        assert on_tiny("run", "-e", RECIPE, "--out", str(kept), "-q")[0] == 0
    shutil.copytree(kept, "one")
    # `show` and `diff` need the directory alone.
    monkeypatch.setenv("STEERDSL_CACHE", "nowhere")
    return steerdsl


def test_show_prints_a_run_from_its_directory(one: Any) -> None:
    shutil.move("one", "moved")
    code, out, err = one("show", "moved")
    assert (code, err) == (0, "")
    record = json.loads(Path("moved/record.json").read_text())
    for text in ("steer more { add topic by strength at layers best }", "state   complete", "params  strength = 40%"):
        assert text in out
    chosen = ", ".join(map(str, record["choices"]["best"]["chosen"]))
    words = " ".join(out.split())  # titles are wrapped
    assert f"best layers {chosen} of topic, by max_norm " in words
    assert "holds" in words and "scores.bleu.a <= 100" in words
    assert "a: means over" in words and "swept: steered means over the sweep" in words
    assert ids("moved")[0]["prompt"] in words
    assert [line.split()[1] for line in out.partition("timings")[2].splitlines() if line[:3].strip().isdigit()] == [
        timing["verb"] for timing in record["timings"]
    ]
    code, out, _ = one("show", "moved", "--json")
    found = json.loads(out)
    assert code == 0 and found["generations"] == ids("moved") and found["recipe"] == record["recipe"]
    assert found["scores"] == json.loads(Path("moved/scores.json").read_text())


def test_a_strangers_run_does_not_steer_the_terminal(one: Any) -> None:
    shutil.copytree("one", "theirs")
    rows = [{**row, "text": "\x1b]0;owned\x07 \x1b[2J"} for row in ids("one")]
    Path("theirs/generations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = json.loads(Path("one/record.json").read_text())
    record["warnings"] = ["\x1b[2J"]
    record["recipe"]["text"] = "# \x1b[2J\n"
    Path("theirs/record.json").write_text(json.dumps(record))
    for words in (("show", "theirs"), ("diff", "one", "theirs", "--answers", "2")):
        _, out, err = one(*words)
        assert r"\x1b[2J" in out and not any(0x7F <= ord(c) < 0xA0 or c in "\x1b\x07" for c in out + err)
    assert json.loads(one("show", "theirs", "--json")[1])["generations"] == rows


def test_a_run_is_equal_to_itself_and_to_its_repetition(one: Any, on_tiny: Any) -> None:
    n = len(ids("one"))
    same = f"settings, versions and machine: equal\nvectors: 1 equal\nscores: 8 equal\nanswers: {n} of {n} equal\n"
    assert one("diff", "one", "one") == (0, same, "")
    assert on_tiny("run", "-e", RECIPE, "--out", "two", "-q")[0] == 0
    assert one("diff", "one", "two") == (0, same, "")
    assert json.loads(one("diff", "one", "two", "--json")[1])["equal"] is True


def test_another_strength_differs_in_what_it_changes(one: Any, on_tiny: Any) -> None:
    assert on_tiny("run", "-e", RECIPE, "--set", "strength=900%", "--out", "two", "-q")[0] == 0
    code, out, err = one("diff", "one", "two", "--answers", "1")
    assert (code, err) == (1, "")
    found = json.loads(one("diff", "one", "two", "--json")[1])
    assert {d["name"]: (d["before"], d["now"]) for d in found["settings"]}["params.strength"] == ("40%", "900%")
    assert found["vectors"] == [
        {"name": "topic", "equal": True, "cosines": found["vectors"][0]["cosines"], "norms": 0.0, "missing": ""}
    ]
    old, new = (
        json.loads(Path(run, "scores.json").read_text())["scores"]["bleu"]["a"]["more"] for run in ("one", "two")
    )
    (score,) = (s for s in found["scores"] if s["place"] == ["scores", "", "bleu", "a", "more"])
    assert (score["before"], score["after"]) == (old["mean"], new["mean"])
    assert score["difference"] == new["mean"] - old["mean"]
    differing = [(a["prompt"], a["text"], b["text"]) for a, b in zip(ids("one"), ids("two"), strict=True) if a != b]
    assert [(a["prompt"], a["before"], a["after"]) for a in found["answers"]["different"]] == differing
    assert found["answers"]["equal"] == len(ids("one")) - len(differing) and differing
    assert f"answers: {len(ids('one')) - len(differing)} of {len(ids('one'))} equal" in out
    assert differing[0][0] in out and "[-" in out and "{+" in out and "900%" in out
    assert f"{len(differing)} more differ; --answers N prints more" in one("diff", "one", "two", "--answers", "0")[1]


def test_cosines_are_those_of_the_files(one: Any) -> None:
    shutil.copytree("one", "two")
    path = "two/vectors/topic.safetensors"
    from safetensors import safe_open

    with safe_open(path, "pt") as f:
        header = f.metadata()
    tensors = load_file("one/vectors/topic.safetensors")
    changed = {name: t.clone() for name, t in tensors.items()}
    changed["directions"] += 0.1 * torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    changed["directions"][2] = -tensors["directions"][2]
    changed["raw_norms"][1] *= 1.25
    save_file(changed, path, header)
    (vector,) = json.loads(one("diff", "one", "two", "--json")[1])["vectors"]
    wanted = torch.cosine_similarity(tensors["directions"].double(), changed["directions"].double())
    assert [layer for layer, _ in vector["cosines"]] == [0, 1, 2] and not vector["equal"]
    assert [c for _, c in vector["cosines"]] == pytest.approx(wanted.tolist(), abs=1e-9)
    assert wanted[2] == pytest.approx(-1) and vector["norms"] == pytest.approx(0.2)
    code, out, _ = one("diff", "one", "two")
    assert code == 1 and "-1.000000 at layer 2" in out and "up to 0.2 apart" in out
    Path(path).unlink()
    assert "the second run has none" in one("diff", "one", "two")[1]


def test_answers_that_only_one_run_has_are_counted(one: Any) -> None:
    shutil.copytree("one", "two")
    lines = (Path("one") / "generations.jsonl").read_text().splitlines(keepends=True)
    (Path("two") / "generations.jsonl").write_text("".join(lines[2:]))
    code, out, _ = one("diff", "one", "two")
    assert code == 1 and "answers: 2 only in one" in out and "only in two" not in out


def test_marks_stand_at_the_words_that_differ() -> None:
    left, right = marked("the price of bread rises", "the price of stale bread falls")
    assert left == [("the price of ", False), ("bread ", False), ("rises", True)]
    assert right == [("the price of ", False), ("stale ", True), ("bread ", False), ("falls", True)]
    assert marked("same", "same") == ([("same", False)], [("same", False)])
    assert marked("", "new") == ([], [("new", True)])


def test_what_is_no_run(one: Any) -> None:
    Path("empty").mkdir()
    Path("one.77.partial").mkdir()
    no_record = "is not a run directory: it has no record.json"
    for folder, title, help in (
        ("nothing", "there is no nothing", "name a run directory, such as `runs/econ-20260301-101500`"),
        ("empty", f"empty {no_record}", "name the folder that `steerdsl run` said its record is in"),
        (".", f". {no_record}", "it holds runs, as one"),
        (
            "one.77.partial",
            f"one.77.partial {no_record}",
            "its run was stopped; repeat the command to continue it",
        ),
    ):
        assert one("show", folder) == (2, "", f"error[R880]: {title}\nhelp: {help}\n")
    assert one("diff", "one", "empty")[0] == 2


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("record.json", "{", "record.json is not JSON: "),
        ("record.json", "[]", "record.json has a wrong form: it is a list, not an object"),
        ("scores.json", None, "scores.json is missing"),
        ("generations.jsonl", '{"step":', "line 1 of generations.jsonl is not JSON: "),
        (
            "generations.jsonl",
            "3\n",
            "line 1 of generations.jsonl has a wrong form: it is a whole number",
        ),
    ],
)
def test_damaged_runs(one: Any, name: str, text: str | None, reason: str) -> None:
    if text is None:
        (Path("one") / name).unlink()
    else:
        (Path("one") / name).write_text(text)
    code, out, err = one("show", "one")
    assert (code, out) == (2, "")
    assert err.startswith(f"error[R881]: the run in one is damaged\nnote: the reason: {reason}")
    assert err.endswith("help: run the recipe again: what the store has is not computed twice\n")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"schema": 2}, "its schema is 2, this version reads 1"),
        ({"plan": None}, "it does not have what this version reads"),
    ],
)
def test_records_of_another_version(one: Any, change: dict[str, Any], note: str) -> None:
    path = Path("one/record.json")
    record = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))
    assert one("diff", "one", "one") == (
        2,
        "",
        "error[R882]: the record in one was written by another version of steerdsl\n"
        f"note: {note}\nhelp: read it with the version that it names under `packages`\n",
    )
