"""A tiny model with a vector of its own, exports by the command line, and logits of the engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made import IDS, random_vector
from tiny import tiny_folder

from steerdsl.cli.main import main
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.engine.tracing import Session
from steerdsl.engine.values import Values
from steerdsl.lang import recipe as r
from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source
from steerdsl.models.catalog import locate
from steerdsl.models.opened import open_model
from steerdsl.store.vector_files import load_vector, save_vector

# A recipe that measures nothing itself would have its steer evaluated.
QUICK = 'dataset one = "one.txt" with held_out: 0%; generate from one with max_tokens: 1; '


class Bench:
    """An empty folder with a model and `v.safetensors`, a random vector of it."""

    def __init__(self, case: str, folder: Path, call: Callable[..., tuple[int, str]]) -> None:
        self.call = call
        self.use(str(tiny_folder(folder / case, case)))

    def use(self, model: str) -> None:
        """Go over to a model, with new random vectors of it."""
        self.model = model
        self.opened = open_model(locate(model), dtype="float32", device="cpu")
        for name, k in (("v", 1), ("u", 1), ("two", 2)):
            save_vector(random_vector(self.opened.arch, name, k), Path(f"{name}.safetensors"))

    def text(self, steer: str) -> str:
        named = [n for n in ("v", "u", "two") if f" {n} " in f" {steer} " or f" {n}[" in f" {steer}"]
        return "; ".join([*(f'{n} = load "{n}.safetensors"' for n in named), f"steer s {{ {steer} }}"])

    def run(self, text: str) -> tuple[int, str]:
        """Run a recipe into the folder `r`; gives exit code and standard error."""
        Path("one.txt").write_text("Hello there\n")
        return self.call(
            "run", "-e", QUICK + text, "--model", self.model, "--dtype", "float32", "--out", "r", "--force"
        )

    def export(self, steer: str, path: str) -> Path:
        code, err = self.run(f'{self.text(steer)}; export s to "{path}"')
        assert code == 0, err
        return Path("r") / path

    def logits(self, steer: str = "", ids: torch.Tensor = IDS) -> torch.Tensor:
        """What the engine gives under a steer: [B, S, vocab]."""
        recipe, report = check_source(Source("x.steer", self.text(steer) if steer else "generate from econ"))
        assert recipe is not None, report.errors
        ops = [op for step in recipe.steps if isinstance(step, r.Steer) for op in step.ops]
        values = Values(self.opened.arch.n_layers)
        for step in recipe.steps:
            if isinstance(step, r.Load):
                values.vectors[step.name] = load_vector(Path(step.path), step.name)
        touches = compile_steer(ops, self.opened.arch, values)
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        found: torch.Tensor = Session(self.opened).logits(given, touches, 0, lambda logits: logits)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[[str], Bench]:
    """Makes the bench of a family."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STEERDSL_TRACEBACK", "1")

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["steerdsl", *words])
        capfd.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return int(code or 0), capfd.readouterr().err

    return lambda case="llama": Bench(case, tmp_path, call)
