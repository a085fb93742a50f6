"""What a command tells OpenMP, before torch is imported, about the cores that it may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steerdsl.cli import cores

CORES = 8


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a container's quota, on a machine of eight cores."""
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "OLD_QUOTA", (tmp_path / "quota", tmp_path / "period"))
    monkeypatch.setattr(cores, "cores", lambda: CORES)
    return tmp_path


def given(environment: dict[str, str]) -> dict[str, str]:
    """The environment once cores are shared."""
    cores.share_cores(environment)
    return environment


def test_what_the_user_has_set_stays(quota: Path) -> None:
    (quota / "cpu.max").write_text("100000 100000")
    own = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "7"}
    assert given(dict(own)) == own


@pytest.mark.parametrize("text", [None, "max 100000", "", "x", "100000 0", "-1 100000", "800000 100000"])
def test_without_a_quota_torch_counts_the_cores(quota: Path, text: str | None) -> None:
    if text is not None:
        (quota / "cpu.max").write_text(text)
    assert given({}) == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize(("text", "threads"), [("100000 100000", "1"), ("20000 100000", "1"), ("250000 100000", "2")])
def test_a_quota_is_a_limit(quota: Path, text: str, threads: str) -> None:
    (quota / "cpu.max").write_text(text)
    assert given({}) == {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": threads}


def test_an_old_quota_is_a_limit(quota: Path) -> None:
    (quota / "quota").write_text("100000\n")
    (quota / "period").write_text("100000\n")
    assert given({})["OMP_NUM_THREADS"] == "1"
    (quota / "quota").write_text("-1\n")
    assert "OMP_NUM_THREADS" not in given({})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to cores")
def test_torch_starts_as_many_threads_as_the_process_has_cores() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from steerdsl.cli.cores import share_cores; share_cores()\n"
        "import torch; print(torch.get_num_threads())"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
