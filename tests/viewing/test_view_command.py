"""`steerdsl view` as a command: what it refuses before it listens, and how it begins and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from calling import Call, calls

ROOT = Path(__file__).parents[2]


@pytest.fixture
def steerdsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEERDSL_API_KEY", raising=False)
    return calls(monkeypatch, capfd)


def test_another_address_needs_a_key(steerdsl: Call) -> None:
    code, out, err = steerdsl("view", "--host", "0.0.0.0")
    assert (code, out) == (2, "") and "error[R905]" in err and "--api-key" in err


def test_a_port_in_use_is_said(steerdsl: Call) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, out, err = steerdsl("view", "--port", str(other.getsockname()[1]))
    assert (code, out) == (2, "") and "error[R906]" in err and "--port" in err


def test_what_is_not_there_is_said(steerdsl: Call) -> None:
    code, out, err = steerdsl("view", "runs/econ\x1b[2J")
    assert (code, out) == (2, "") and "error[R910]" in err and "\x1b" not in err


@pytest.mark.parametrize("words", [("--port", "70000"), ("--max-tokens", "0"), ("--nonsense",)])
def test_options_have_bounds(steerdsl: Call, words: tuple[str, ...]) -> None:
    code, _, err = steerdsl("view", *words)
    assert code == 2 and "Traceback" not in err


def test_it_says_where_it_is_and_ends_at_ctrl_c(runs: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "steerdsl.cli.main", "view", str(runs), "--port", "0"]
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env, preexec_fn=hearing
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert "mine" in httpx.get(url, timeout=60).text
            assert httpx.get(f"{url}runs/mine", timeout=60).status_code == 200
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            process.kill()
    assert (tmp_path / "errors").read_text("utf-8") == ""


def hearing() -> None:
    """Hear Ctrl-C, which a process that was started in the background ignores."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
