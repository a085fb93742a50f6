"""What a user can get wrong that only a plan or a run can see: one message, a way out, an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_folder

from steerdsl.engine.tracing import Session

FITTED = "topic = extract diffmean from econ vs generic"


def caret(text: str, part: str, label: str = "") -> str:
    """The place of `part` in a recipe of one line, as a message shows it."""
    column = text.index(part)
    marks = " " * column + "^" * len(part) + (" " + label if label else "")
    return f" --> -e:1:{column + 1}\n  |\n1 | {text}\n  | {marks}\n  |\n"


def test_a_layer_outside_the_model(on_tiny: Any, tiny_model: Path) -> None:
    text = f"{FITTED}; steer s {{ ablate topic at layers 2..9 }}"
    code, _, err = on_tiny("plan", "-e", text)
    place = caret(text, "at layers 2..9", f"{tiny_model} has layers 0 to 2")
    assert err == (
        f"error[P701]: there is no layer 9\n{place}"
        "help: count from 0; `last` or `100%` is layer 2, and a percentage works in every model\n"
    )
    assert code == 1


def test_a_stream_and_a_head_that_the_model_lacks(steerdsl: Any, tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "neox", "gpt_neox")
    text = "topic = extract diffmean from econ vs generic on resid_mid; steer s { ablate topic on head(1,9) }"
    code, _, err = steerdsl("plan", "-e", text, "--model", str(model))
    assert code == 1
    assert err == (
        "error[P710]: gpt_neox models have no `resid_mid`: "
        "attention and MLP read the same input and are added together\n"
        + caret(text, "extract diffmean from econ vs generic on resid_mid")
        + "help: this model has resid_pre, resid_post, attn_out, mlp_out, attn_norm_out, mlp_norm_out, head\n\n"
        + "error[P711]: head 9 does not exist: the model has 4 heads a layer\n"
        + caret(text, "ablate topic on head(1,9)")
        + "help: heads are numbered 0 to 3\n"
    )


def test_a_steer_that_its_format_cannot_carry_is_refused_before_anything_runs(on_tiny: Any) -> None:
    text = f'{FITTED}; steer s {{ clamp topic to 1 at layers 1 }}; export s to "s.gguf"'
    for command in ("plan", "run"):
        code, _, err = on_tiny(command, "-e", text, *(("--out", "r") if command == "run" else ()))
        assert code == 1 and not Path("r").exists()
        assert err == (
            "error[R847]: a GGUF control vector cannot carry this: it holds `ablate` and `add`, and `clamp` is none "
            "of these\n"
            + caret(text, 'export s to "s.gguf"')
            + "help: export a steer of plain `ablate` and `add`, or run the steer instead\n"
        )


def test_the_same_prompts_on_both_sides_leave_no_direction(on_tiny: Any) -> None:
    for name in ("a", "b"):
        Path(f"{name}.txt").write_text("one two\nthree four\nfive six\n")
    text = (
        'dataset a = "a.txt" with held_out: 0%; dataset b = "b.txt" with held_out: 0%; v = extract diffmean from a vs b'
    )
    code, _, err = on_tiny("run", "-e", text + '; export v to "v.safetensors"', "--out", "r", "--quiet")
    assert code == 3
    assert err == (
        "error[R810]: both classes have the same activations at every layer, so there is no direction\n"
        + caret(text + '; export v to "v.safetensors"', "extract diffmean from a vs b", "step 1, extract")
        + "help: compare two data sets that differ, or read another position\n"
    )
    assert json.loads(Path("r/record.json").read_text())["reached"] == "step 1, extract v"


def test_a_file_that_is_no_vector(on_tiny: Any, tiny_model: Path) -> None:
    Path("model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes())
    text = 'old = load "model.safetensors"; steer s { ablate old at layers 1 }; generate from econ with steer: s'
    code, _, err = on_tiny("run", "-e", text, "--out", "r", "--quiet")
    assert code == 3
    assert err == (
        "error[R840]: model.safetensors is not a vector of steerdsl: its header does not say so\n"
        + caret(text, 'load "model.safetensors"', "step 1, load")
        + "help: download or copy the file again\n"
    )


def test_an_exported_vector_is_read_back(on_tiny: Any) -> None:
    assert on_tiny("run", "-e", f'{FITTED}; export topic to "t.safetensors"', "--out", "r")[0] == 0
    Path("t.safetensors").write_bytes(Path("r/t.safetensors").read_bytes())
    answers = "generate from econ with steer: s, max_tokens: 4"
    steer = "steer s { ablate topic at layers 1..2 }"
    assert on_tiny("run", "-e", f"{FITTED}; {steer}; {answers}", "--out", "a")[0] == 0
    assert (
        on_tiny(
            "run",
            "-e",
            f'topic = load "t.safetensors"; {steer}; {answers}.held_out'.replace(
                "econ with", "econ.held_out with"
            ).replace("4.held_out", "4"),
            "--out",
            "b",
        )[0]
        == 0
    )
    texts = [
        [json.loads(line)["token_ids"] for line in Path(run, "generations.jsonl").read_text().splitlines()]
        for run in ("a", "b")
    ]
    assert texts[0] == texts[1] and texts[0]


def test_a_run_directory_is_never_overwritten_unasked(on_tiny: Any) -> None:
    text = f'{FITTED}; export topic to "t.safetensors"'
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    before = Path("r/record.json").read_bytes()
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert (code, err) == (
        2,
        "error[R801]: r already exists\nhelp: name another folder with --out, or add --force\n",
    )
    assert Path("r/record.json").read_bytes() == before
    assert on_tiny("run", "-e", text, "--out", "r", "--force")[0] == 0
    assert not list(Path().glob("r.*"))


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_folder_that_is_no_run_is_never_replaced(on_tiny: Any, force: tuple[str, ...]) -> None:
    Path("runs/one").mkdir(parents=True)
    Path("runs/one/record.json").write_text("{}")
    code, _, err = on_tiny("run", "-e", FITTED, "--out", "runs", *force)
    title = "runs cannot become the run directory: it is a folder with other things"
    assert (code, err) == (2, f"error[R803]: {title}\nhelp: name another folder with --out, or one in it\n")
    assert [p.name for p in Path().glob("run*")] == ["runs"] and Path("runs/one/record.json").exists()


def test_a_run_that_another_has_overtaken_takes_the_next_name(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steerdsl.running import finish

    real = finish.write_record

    def overtaken(*given: Any, **named: Any) -> None:
        real(*given, **named)
        Path("r").mkdir()
        Path("r/record.json").write_text("another's")

    monkeypatch.setattr(finish, "write_record", overtaken)
    code, out, err = on_tiny("run", "-e", FITTED, "--out", "r", "--json")
    assert code == 0 and json.loads(out)["run"] == "r-2"
    assert err.splitlines()[-1] == "note: r was made meanwhile, and is left as it is; this run is in r-2"
    assert Path("r/record.json").read_text() == "another's" and Path("r-2/report.html").exists()


def test_a_run_directory_that_cannot_be_made(on_tiny: Any) -> None:
    Path("file").write_text("")
    code, _, err = on_tiny("run", "-e", FITTED, "--out", "file/r")
    assert (code, err) == (
        3,
        "error[R802]: file/r could not be created: not a directory\nhelp: choose another folder with --out\n",
    )


def test_a_place_that_is_none(on_tiny: Any) -> None:
    code, _, err = on_tiny("run", "-e", FITTED, "--on", "mars")
    message = "`mars` is not a place to run\nhelp: use --on local, --on simulate or --on ndif\n"
    assert (code, err) == (2, f"error[R804]: {message}")
    assert not Path("runs").exists()


def test_a_prompt_longer_than_the_context(on_tiny: Any) -> None:
    Path("long.txt").write_text("word " * 400 + "\nshort one\nshort two\n")
    text = 'dataset a = "long.txt" with held_out: 0%; topic = extract diffmean from a vs econ'
    code, _, err = on_tiny("run", "-e", text, "--out", "r", "--quiet")
    assert code == 1
    assert "error[M611]: a prompt of `a` has 20" in err and "step 1, extract" in err
    assert "Traceback" not in err and "help: shorten these prompts" in err


def test_an_override_without_a_value(on_tiny: Any) -> None:
    code, _, err = on_tiny("run", "-e", FITTED, "--set", "strength")
    assert code == 2 and "`--set strength` has no value; write `--set strength=60%`" in err


def test_interrupting_keeps_what_was_made(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second batch: the first, which is kept, has a prompt's answers of all variants."""
    made: list[int] = []
    traced = Session.generate

    def interrupted(self: Session, *given: Any) -> Any:
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(1)
        return traced(self, *given)

    monkeypatch.setattr(Session, "generate", interrupted)
    steered = "steer s { ablate topic at layers 1 }"
    text = f"{FITTED}; {steered}; evaluate s on econ with distinct_1, max_tokens: 4, controls: none"
    code, _, err = on_tiny("run", "-e", text, "--out", "r", "--batch-size", "4")
    assert code == 130 and "stopped at step 3, evaluate" in err
    found = json.loads(Path("r/record.json").read_text())
    assert found["state"] == "interrupted" and found["reached"].startswith("step 3, evaluate")
    rows = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
    assert [row["variant"] for row in rows] == ["baseline", "s"] and rows[0]["prompt"] == rows[1]["prompt"]
    assert Path("r/vectors/topic.safetensors").exists()
    made.clear()
    monkeypatch.setattr(Session, "generate", lambda self, *a: made.append(1) or traced(self, *a))
    assert on_tiny("run", "-e", text, "--out", "again", "--batch-size", "4")[0] == 0
    whole = [json.loads(row) for row in Path("again/generations.jsonl").read_text().splitlines()]
    prompts = len(whole) // 2
    # The first batch of what is left has one prompt again, each other one two: four rows.
    assert len(made) == 1 + -(-(prompts - 2) // 2)
