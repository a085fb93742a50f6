"""When operations act, in which order sites are visited, and what cannot be compiled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cases import TABLE
from formulas import in_time
from world import World

from steerdsl.methods.types import MethodError
from steerdsl.planning.targets import passes


@pytest.mark.parametrize("line", TABLE)
def test_passes_are_those_of_the_clauses(tiny_world: Callable[..., World], line: str) -> None:
    for op in tiny_world("llama").ops(line):
        start, stop = passes(op)
        acting = [start <= t and (stop is None or t < stop) for t in range(20)]
        assert acting == [in_time(op, t) for t in range(20)]


def test_sites_are_visited_in_the_order_of_the_model(tiny_world: Callable[..., World]) -> None:
    """Whatever the order of the text; what one module holds is visited once."""
    world = tiny_world("llama")
    line = (
        "add v by 1 at layer 2; ablate ffn on mlp_out at layer 1; add mid by 1 at layer 1 on resid_mid;"
        "ablate att on attn_out at layer 1; add h by 1 on head(1, 0), head(1, 3); ablate v on resid_post at layer 0"
    )
    assert [touch["path"].removeprefix("model.layers.") + " " + touch["side"] for touch in world.touches(line)] == [
        "0 output",
        "1 input",  # read for resid_mid
        "1.self_attn.o_proj input",
        "1.self_attn output",
        "1.mlp output",
        "2 output",
    ]


PATCHED = 'patch from "Why?" at layer 1'
WRONG = {
    "ablate v during prompt when step > 2": (
        "`ablate v during prompt when step > 2` never acts: its clauses leave no token",
        "change `during`, `first`, `after` or `when`",
    ),
    "ablate v first 2 after 2": (
        "`ablate v first 2 after 2` never acts: its clauses leave no token",
        "change `during`, `first`, `after` or `when`",
    ),
    f"{PATCHED} during generation": (
        f"`{PATCHED} during generation` never acts: a patch acts while the prompt is read",
        "change `during`, `first`, `after` or `when`",
    ),
    f"{PATCHED} when proj() > 0": ("`proj` has no direction to read", "name one: `proj(topic)`"),
    "ablate v when proj(two) > 0": (
        "a condition needs one direction and `two` has 2 at layer 0",
        "extract it with a method that gives one",
    ),
    "ablate v when proj(v[0,1]) > 0": (
        "a condition needs one direction and `v[0,1]` has 2 at layer 0",
        "name one layer in the brackets",
    ),
    "ablate v when cos(h) > 0": (
        "`h` has 8 numbers and `resid_post` has 32",
        "extract it on resid_post, or act on a stream of its width",
    ),
    "ablate v on head(1, 2)": (
        "`v` has 32 numbers and `head` has 8",
        "extract it on head, or act on a stream of its width",
    ),
    "ablate h on head(1, 2) when cos(h) > 0 at layer 0": (
        "a condition at layer 0 reads a whole stream, and `h` is of one head",
        "leave out `at layer` to read it at the head where the operation acts",
    ),
}


@pytest.mark.parametrize("line", WRONG)
def test_what_cannot_act_is_refused(tiny_world: Callable[..., World], line: str) -> None:
    with pytest.raises(MethodError) as caught:
        tiny_world("llama").touches(line)
    assert (caught.value.problem, caught.value.way_out) == WRONG[line]
