"""`steerdsl serve` as a command: what it refuses before it opens a model, and what its help says."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from calling import Call, calls

from steerdsl.cli.main import COMMANDS


@pytest.fixture
def steerdsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEERDSL_API_KEY", raising=False)
    return calls(monkeypatch, capfd)


def test_another_address_needs_a_key(steerdsl: Call) -> None:
    code, out, err = steerdsl("serve", "recipe.steer", "--host", "0.0.0.0")
    assert (code, out) == (2, "") and "error[R905]" in err and "STEERDSL_API_KEY" in err


def test_a_port_in_use_is_said_before_the_recipe_is_read(steerdsl: Call) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, out, err = steerdsl("serve", "recipe.steer", "--port", str(other.getsockname()[1]))
    assert (code, out) == (2, "") and "error[R906]" in err and "--port" in err


def test_a_recipe_that_is_wrong_ends_it_and_frees_the_port(steerdsl: Call) -> None:
    Path("bad.steer").write_text("topic = extract difmean from econ vs generic\n")
    code, _, err = steerdsl("serve", "bad.steer", "--port", "0")
    assert code == 1 and "error[S206]" in err


@pytest.mark.parametrize("words", [("--port", "70000"), ("--max-tokens", "0"), ("--timeout", "0"), ("a", "b")])
def test_options_have_bounds(steerdsl: Call, words: tuple[str, ...]) -> None:
    code, _, err = steerdsl("serve", *words)
    assert code == 2 and "Traceback" not in err


def test_the_help_shows_both_doors(steerdsl: Call) -> None:
    assert {"chat", "serve"} <= COMMANDS.keys()
    _, out, _ = steerdsl("--help")
    assert "steerdsl chat recipes/econ.steer --steer forgetful" in out and "steerdsl serve recipes/econ.steer" in out
    for command in ("chat", "serve"):
        code, out, _ = steerdsl(command, "--help")
        assert code == 0 and "Example:" in out and "[RECIPE|RUN|PACK]" in out
