"""Every operation against numpy arithmetic from its formula, on one table of cases."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from classes import unit

from steerdsl.lang.recipe import Mean, Strength
from steerdsl.methods.types import MethodError, Operand, Plane
from steerdsl.registry import entries, find

D = 24
RNG = np.random.default_rng(0)
R = unit(RNG.normal(size=(3, D)))
NORM = np.array([2.0, 3.0, 0.5])
B = np.linalg.qr(RNG.normal(size=(D, 2)))[0].T
MU = RNG.normal(size=D)
READER = R[:1] + 0.3 * RNG.normal(size=(1, D))
READER /= READER @ R[0]

ONE = Operand(torch.from_numpy(R[:1]).float(), torch.from_numpy(NORM[:1]), mean=torch.from_numpy(MU).float())
THREE = Operand(torch.from_numpy(R).float(), torch.from_numpy(NORM))
OBLIQUE = Operand(ONE.unit, ONE.norm, torch.from_numpy(READER).float(), torch.from_numpy(MU).float())
TURN = Operand(plane=Plane(torch.from_numpy(B[0]), torch.from_numpy(B[1])))


def apply(name: str, h: torch.Tensor, operand: Operand, args: Mapping[str, Any] = MappingProxyType({})) -> torch.Tensor:
    """What the engine does at a site: prepare once, then the kernel in float32."""
    entry = find("op", name)
    prepared = entry.prepare(operand, args)
    assert all(t.dtype == torch.float32 for t in prepared.values())
    return entry.run(h, prepared)


def coordinates(h):
    return h @ B[0], h @ B[1]


def turned_by(h, degrees):
    t = np.deg2rad(degrees)
    a, b = coordinates(h)
    return (
        h
        + ((np.cos(t) - 1) * a - np.sin(t) * b)[..., None] * B[0]
        + ((np.cos(t) - 1) * b + np.sin(t) * a)[..., None] * B[1]
    )


def turned_to(h, degrees):
    t = np.deg2rad(degrees)
    a, b = coordinates(h)
    inside = a[..., None] * B[0] + b[..., None] * B[1]
    return h - inside + np.hypot(a, b)[..., None] * (np.cos(t) * B[0] + np.sin(t) * B[1])


def length(h):
    return np.linalg.norm(h, axis=-1, keepdims=True)


def without_span(h):
    return h - h @ np.linalg.pinv(R) @ R


@dataclass(frozen=True)
class Case:
    op: str
    operand: Operand
    formula: Callable[[np.ndarray], np.ndarray]
    args: Mapping[str, Any] = field(default_factory=dict)


r = R[0]
CASES = {
    "ablate": Case("ablate", ONE, lambda h: h - (h @ r)[..., None] * r),
    "ablate by 50%": Case("ablate", ONE, lambda h: h - 0.5 * (h @ r)[..., None] * r, {"by": 0.5}),
    "ablate by 150%": Case("ablate", ONE, lambda h: h - 1.5 * (h @ r)[..., None] * r, {"by": 1.5}),
    "ablate three": Case("ablate", THREE, without_span),
    "ablate three by 50%": Case("ablate", THREE, lambda h: (h + without_span(h)) / 2, {"by": 0.5}),
    "ablate toward": Case(
        "ablate", ONE, lambda h: h - (h @ r)[..., None] * r + (MU @ r) * r, {"toward": Mean("generic")}
    ),
    "ablate toward, alpha": Case(
        "ablate",
        ONE,
        lambda h: h - (h @ r)[..., None] * r + (MU @ r) * r + 0.7 * 2.0 * r,
        {"toward": Mean("generic"), "alpha": 0.7},
    ),
    "ablate oblique": Case("ablate", OBLIQUE, lambda h: h - ((h - MU) @ READER[0])[..., None] * r),
    "add 2": Case("add", ONE, lambda h: h + 2 * 2.0 * r, {"by": Strength(2.0, "raw")}),
    "add -1.5": Case("add", ONE, lambda h: h - 1.5 * 2.0 * r, {"by": Strength(-1.5, "raw")}),
    "add 40%": Case("add", ONE, lambda h: h + 0.4 * length(h) * r, {"by": Strength(0.4, "share")}),
    "add three": Case("add", THREE, lambda h: h + 2 * NORM @ R, {"by": Strength(2.0, "raw")}),
    "add three 40%": Case("add", THREE, lambda h: h + 0.4 * length(h) * unit(NORM @ R), {"by": Strength(0.4, "share")}),
    "clamp": Case("clamp", ONE, lambda h: h + (3.0 - h @ r)[..., None] * r, {"to": 3.0}),
    "clamp to a unit": Case("clamp", ONE, lambda h: h + (-1 - h @ r)[..., None] * r, {"to": Strength(-1.0, "unit")}),
    "cap": Case("cap", ONE, lambda h: h + np.minimum(0.2 - h @ r, 0)[..., None] * r, {"to": 0.2}),
    "rotate by 210deg": Case("rotate", TURN, lambda h: turned_by(h, 210), {"by": 210.0}),
    "rotate by -30deg": Case("rotate", TURN, lambda h: turned_by(h, -30), {"by": -30.0}),
    "rotate to 60deg": Case("rotate", TURN, lambda h: turned_to(h, 60), {"to": 60.0}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("shape", [(1, 1, D), (3, 7, D), (5, D)], ids=str)
def test_operation_is_the_formula_s(case: Case, shape: tuple[int, ...]) -> None:
    h = np.random.default_rng(1).normal(size=shape).astype(np.float32) * 3
    before = torch.from_numpy(h.copy())
    got = apply(case.op, torch.from_numpy(h), case.operand, case.args)
    assert got.dtype == torch.float32 and got.shape == before.shape
    np.testing.assert_allclose(got.numpy(), case.formula(h.astype(np.float64)), atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(h), before, rtol=0, atol=0)  # out of place


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_float32_edits_stored_in_a_smaller_type_stay_within_tolerance(case: Case, dtype: torch.dtype) -> None:
    """Storing costs half a unit in the last place, so the type's eps bounds the whole."""
    h = (torch.randn(4, 9, D, generator=torch.Generator().manual_seed(2)) * 3).to(dtype)
    got = apply(case.op, h.float(), case.operand, case.args).to(dtype).double().numpy()
    wanted = case.formula(h.double().numpy())
    bound = {torch.float32: 2e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11}[dtype]
    assert (np.linalg.norm(got - wanted, axis=-1) <= bound * np.linalg.norm(wanted, axis=-1)).all()


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-3), (torch.float16, 1e-3)])
def test_what_is_left_of_an_ablated_direction(dtype: torch.dtype, bound: float) -> None:
    """At d = 2048: |h·r| beside |h|, edited in float32 and stored in `dtype`."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(1, 256, 2048, generator=generator).to(dtype)
    row = torch.nn.functional.normalize(torch.randn(1, 2048, generator=generator), dim=-1)
    got = apply("ablate", h.float(), Operand(row, torch.ones(1))).to(dtype).double()
    left = (got @ row[0].double()).abs() / h.double().norm(dim=-1)
    assert float(left.max()) < bound


# ---- one number for each row of a batch --------------------------------------------------------

SWEPT = {
    "ablate by": ("ablate", ONE, "by", [0.0, 0.5, 1.0, 1.5]),
    "ablate three by": ("ablate", THREE, "by", [0.0, 0.5, 1.0, 1.5]),
    "ablate alpha": ("ablate", ONE, "alpha", [0.0, 1.0, -1.0, 0.3]),
    "add raw": ("add", ONE, "by", [Strength(x, "raw") for x in (0.0, 1.0, -2.0, 3.0)]),
    "add share": ("add", ONE, "by", [Strength(x, "share") for x in (0.0, 0.1, -0.2, 0.4)]),
    "add mixed": ("add", ONE, "by", [Strength(1.0, "raw"), Strength(0.2, "share")] * 2),
    "clamp": ("clamp", ONE, "to", [0.0, 1.0, -1.0, 2.0]),
    "cap": ("cap", ONE, "to", [0.0, 1.0, -1.0, 2.0]),
    "rotate by": ("rotate", TURN, "by", [0.0, 90.0, 210.0, -10.0]),
    "rotate to": ("rotate", TURN, "to", [0.0, 90.0, 210.0, -10.0]),
}


@pytest.mark.parametrize("name", SWEPT)
@pytest.mark.parametrize("tokens", [1, 5])
def test_a_row_with_its_own_number_is_that_number_s_edit(name: str, tokens: int) -> None:
    op, given, key, values = SWEPT[name]
    h = torch.randn(4, tokens, D, generator=torch.Generator().manual_seed(0))
    together = apply(op, h, given, {key: values})
    for i, value in enumerate(values):
        torch.testing.assert_close(together[i], apply(op, h[i : i + 1], given, {key: value})[0], atol=2e-6, rtol=0)


# ---- errors and form ---------------------------------------------------------------------------

NOTHING = Operand(torch.zeros(1, D), torch.zeros(1))


@pytest.mark.parametrize(
    ("op", "given", "args", "problem"),
    [
        ("ablate", NOTHING, {}, "there is no direction to ablate: every row is zero"),
        ("add", NOTHING, {"by": Strength(1.0, "raw")}, "there is no direction to add: every row is zero"),
        ("clamp", NOTHING, {"to": 1.0}, "there is no direction to clamp: every row is zero"),
        ("cap", THREE, {"to": 1.0}, "one direction can be clamped, not 3"),
        ("rotate", ONE, {"by": 90.0}, "a rotation needs a plane"),
        ("patch", ONE, {"from": "x"}, "there are no activations to patch in"),
        ("ablate", THREE, {"toward": Mean("econ")}, "the vector has no class means to ablate toward"),
        ("ablate", Operand(ONE.unit), {"alpha": 1.0}, "the vector has no raw norm to add back"),
    ],
)
def test_operands_that_do_not_fit(op: str, given: Operand, args: dict, problem: str) -> None:
    with pytest.raises(MethodError) as error:
        apply(op, torch.zeros(1, D), given, args)
    assert error.value.problem == problem and error.value.way_out


@pytest.mark.parametrize("name", sorted(entries("op")))
def test_kernels_stand_alone(name: str) -> None:
    """A kernel is sent to servers and printed by `eject`: it may read its arguments and nothing else."""
    kernel = find("op", name).run
    names = inspect.getclosurevars(kernel)
    assert not names.globals and not names.nonlocals
    assert set(names.builtins) <= {"len"}
    assert list(inspect.signature(kernel).parameters) == ["h", "p"]


NUMERIC = {("op", case.op): partial(test_operation_is_the_formula_s, case, (3, 7, D)) for case in CASES.values()}
