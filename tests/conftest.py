"""Puts this folder on the import path (pytest does, for the folder of a conftest): tests share `tiny` and `calling`.

The tests run in several processes, of which each has one thread: two threads spend most of their time
waiting for each other when a model is tiny. This has to be said before torch is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from endpoint import Endpoint, Reply
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
PROCESSES = 4  # at most: each has torch in memory

# How long an example takes is the machine's affair: other work beside the tests must not fail one.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` means: a process for each core, or none where the tests of the NDIF server are
    asked for, of which there is one."""
    if "ndif" in config.option.markexpr.replace("not ndif", ""):
        return 0
    return min(PROCESSES, os.cpu_count() or 1)


@pytest.fixture
def endpoint() -> Iterator[Callable[[Reply], Endpoint]]:
    """Start servers that answer as a judge's endpoint does; gives a function from a reply to its server."""
    started: list[Endpoint] = []

    def start(reply: Reply) -> Endpoint:
        started.append(Endpoint(reply))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()
