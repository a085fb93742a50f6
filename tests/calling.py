"""Calls the command line in this process.

Out: `calls(monkeypatch, capfd)`, which gives `steerdsl WORDS…` as a function: exit code, standard output,
standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from steerdsl.cli.main import main

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
        return code, out, err

    return call
