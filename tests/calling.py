"""Calls the command line in this process.

Out: `calls(monkeypatch, capfd)`, which gives `steerdsl WORDS…` as a function: exit code, standard output,
standard error. Whatever run directory a command leaves must be one that can be read back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from steerdsl.cli.main import main
from steerdsl.lang.diagnostics import Exit
from steerdsl.store.finished_run import open_run

ENDED = (Exit.OK, Exit.FAILED, Exit.CHECK_FAILED, Exit.NOT_SETTLED)
Call = Callable[..., tuple[int, str, str]]


def calls(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["steerdsl", *words])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capfd.readouterr()
        if words[0] == "run" and "--out" in words[:-1]:
            folder = Path(words[words.index("--out") + 1])
            # Where another run took the name, what is there is not of this command.
            if code in ENDED and "was made meanwhile" not in err and (folder / "record.json").exists():
                open_run(folder)
        return code, out, err

    return call
