"""`%%steer` in a shell: its options, its result, its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import steerdsl
from steerdsl.notebook.magic import CellError, line_parser

RECIPE = """\
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
steer more { add topic by {strength} at layer 1 }
answers = generate from a.held_out with steer: more, max_tokens: 4
"""


def run(shell: Any, line: str, cell: str) -> Any:
    """A cell as a person runs it; what it raises is raised."""
    done = shell.run_cell(f"%%steer {line}\n{cell}")
    done.raise_error()
    return done.result


def test_a_cell_runs_and_its_result_is_the_run(shell: Any, tiny_model: Path) -> None:
    shell.run_cell(f"strength = 2\nMODEL = {str(tiny_model)!r}")
    found = run(shell, "--model $MODEL --dtype float32 --device cpu --out mine", RECIPE)
    assert shell.user_ns["_"] is found and found.state == "complete" and str(found.folder) == "mine"
    assert found.record["recipe"]["text"].startswith("param strength = 2\n")
    wanted = steerdsl.run(
        RECIPE.replace("{strength}", "2"), model=str(tiny_model), dtype="float32", device="cpu", out="other"
    )
    assert [one["token_ids"] for one in found.answers] == [one["token_ids"] for one in wanted.answers]
    html = found._repr_html_()
    assert "<table" in html or "<div" in html


def test_warnings_have_their_place_in_the_cell(
    shell: Any, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("much = 1")
    text = "t = extract diffmean from econ vs generic\nadd t by {much}\n"
    run(shell, f"--model {tiny_model} --dtype float32 --device cpu", text)
    err = capsys.readouterr().err
    assert "S451" in err and ":3:" in err and "In [" in err


def test_mistakes_are_shown_as_on_a_terminal(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CellError):
        run(shell, "", "t = extract difmean from econ vs generic\nadd t by 1 at layer 1")
    out = "".join(capsys.readouterr())
    assert "S206" in out and "In [" in out and "Traceback" not in out and "did you mean" in out
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--modle x", "--modle"),
        ("--seed much", "--seed"),
        ("--seed -1", "seed"),
        ("--batch-size 0", "batch_size"),
        ("--set strength", "NAME=VALUE"),
        ("--out", "--out"),
        ("'", "quotation"),
        ("stray", "stray"),
        ("--h", "--h"),
    ],
)
def test_a_wrong_line_is_one_line(shell: Any, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    done = shell.run_cell(f"%%steer {line}\nt = extract diffmean from econ vs generic\nadd t by 1 at layer 1")
    assert not done.success
    out = "".join(capsys.readouterr())
    assert out.startswith("UsageError: %%steer") and said in out and out.count("\n") == 1


def test_every_option_is_one_of_run() -> None:
    """Under the same name, and documented where `%%steer?` looks."""
    import typer

    from steerdsl.cli.main import application

    group: Any = typer.main.get_command(application(["run"]))
    command = group.get_command(group.make_context("steerdsl", ["run"]), "run")
    known = {word for option in command.params for word in option.opts}
    assert {word for action in line_parser()._actions for word in action.option_strings} <= known


def test_the_extension_can_be_taken_away(shell: Any) -> None:
    assert "--dtype" in shell.find_cell_magic("steer").__doc__
    shell.run_line_magic("reload_ext", "steerdsl")
    assert shell.find_cell_magic("steer") is not None
    shell.run_line_magic("unload_ext", "steerdsl")
    assert shell.find_cell_magic("steer") is None


def test_a_cell_of_one_line_and_an_empty_one(shell: Any, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither is taken for the name of a file."""
    for text in ("recipe.steer", "", "# nothing"):
        assert not shell.run_cell(f"%%steer --model {tiny_model}\n{text}").success
    out = "".join(capsys.readouterr())
    assert "S440" in out and "FileNotFoundError" not in out and "Traceback" not in out
