"""`patch`: which row of the other prompt a token takes, and what stays."""

from __future__ import annotations

import pytest
import torch

from steerdsl.methods.ops.patch import align, prepare
from steerdsl.methods.types import Operand
from steerdsl.registry import find

MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("how", "length", "wanted"),
    [
        ("end", 3, [[-1, -1, 0, 1, 2], [-1, -1, 0, 1, 2], [-1, -1, -1, -1, 2], [1, 2, -1, -1, -1]]),
        ("start", 3, [[-1, -1, 0, 1, 2], [0, 1, 2, -1, -1], [-1, -1, -1, -1, 0], [0, 1, -1, -1, -1]]),
        ("end", 6, [[-1, -1, 3, 4, 5], [1, 2, 3, 4, 5], [-1, -1, -1, -1, 5], [4, 5, -1, -1, -1]]),
    ],
)
def test_which_row_a_token_takes(how: str, length: int, wanted: list[list[int]]) -> None:
    assert align(MASK, length, how).tolist() == wanted


def test_patch_replaces_matched_tokens_and_nothing_else() -> None:
    h, rows = torch.randn(4, 5, 3), torch.randn(3, 3)
    p = {**prepare(Operand(rows=rows), {"from": "x"}), "index": align(MASK, 3)}
    got = find("op", "patch").run(h, p)
    for b in range(4):
        for t in range(5):
            i = int(p["index"][b, t])
            assert torch.equal(got[b, t], rows[i] if i >= 0 else h[b, t])


NUMERIC = {("op", "patch"): test_patch_replaces_matched_tokens_and_nothing_else}
