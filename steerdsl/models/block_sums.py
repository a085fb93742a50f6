"""Which modules' outputs add up to what a block gives.

In: the recorded calls of one block. Out: `Sums`: its writers in the order in which they run, with their factors,
and what the whole is multiplied by. Every answer is an identity that holds to `TOLERANCE`; no other is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from steerdsl.models.recorded import ModuleCall
from steerdsl.models.unsteerable import Unsteerable

TOLERANCE = 2e-5  # of the largest number: float32's rounding, with room
MOST_WRITERS = 5
# The writers of a block by their paths within it, and whether a norm stands between.
Answer = tuple[tuple[str, ...], bool]
MOST_TRIED = 40_000  # sums that are tried for one block


@dataclass(frozen=True, slots=True)
class Block:
    """The call of a block and those of the modules inside it."""

    call: ModuleCall
    calls: Sequence[ModuleCall]

    @property
    def pre(self) -> Tensor:
        """What it takes."""
        assert self.call.taken is not None
        return self.call.taken

    @property
    def post(self) -> Tensor:
        """What it gives."""
        assert self.call.given is not None
        return self.call.given

    def relative(self, call: ModuleCall) -> str:
        """A module's path within the block."""
        return call.path[len(self.call.path) + 1 :]


@dataclass(frozen=True, slots=True)
class Addend:
    """A module whose output, times `factor`, is added to the stream."""

    call: ModuleCall
    factor: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Writers in the order in which they run. normed: what they are added to goes through a norm on its way.
    error: the largest error, as a share of the largest number."""

    writers: tuple[Addend, ...]
    gain: float
    normed: bool
    error: float


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two activations are the same but for rounding."""
    return a.shape == b.shape and off(a, b) <= TOLERANCE


def off(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def normlike(call: ModuleCall) -> bool:
    """Whether a module keeps the shape and has no matrix: a norm, a scale."""
    if call.taken is None or call.given is None or call.taken.shape != call.given.shape:
        return False
    return all(p.ndim < 2 for p in call.module.parameters()) and not torch.equal(call.taken, call.given)


def solve(block: Block, known: list[Answer]) -> Sums:
    """The writers of a block. `known` has the answers of earlier blocks, which are tried first, and is added to.
    Raises Unsteerable where no sum of outputs is what the block gives."""
    options = _candidates(block)
    for answer in known:
        found = _again(block, options, answer)
        if found is not None:
            return found
    found = _search(block, options)
    known.append((tuple(block.relative(w.call) for w in found.writers), found.normed))
    return found


def _candidates(block: Block) -> list[ModuleCall]:
    """Outputs that could be added: each value once, by the outermost module that gives it."""
    once: dict[str, int] = {}
    for call in block.calls:
        once[call.path] = once.get(call.path, 0) + 1
    found: list[ModuleCall] = []
    for call in sorted(block.calls, key=lambda c: (c.path.count("."), c.start)):
        value = call.given
        if value is None or value.shape != block.pre.shape or once[call.path] > 1:
            continue
        same = call.taken is not None and call.taken.shape == value.shape and torch.equal(call.taken, value)
        if same or not bool(value.any()) or not bool(value.isfinite().all()):
            continue
        if any(torch.equal(value, other) for other in (block.pre, block.post)):
            continue
        if not any(c.given is not None and torch.equal(c.given, value) for c in found):
            found.append(call)
    return found


def _again(block: Block, options: Sequence[ModuleCall], answer: Answer) -> Sums | None:
    paths, normed = answer
    if normed:
        return None
    chosen = [c for c in options if block.relative(c) in paths]
    if len(chosen) != len(paths):
        return None
    return _plain_sum(block, chosen) or _gained(block, chosen)


def _search(block: Block, options: Sequence[ModuleCall]) -> Sums:
    tried = 0
    for count in range(1, MOST_WRITERS + 1):
        for chosen in combinations(options, count):
            tried += 1
            if tried > MOST_TRIED:
                break
            found = _plain_sum(block, chosen)
            if found is not None:
                return found
    found = _normed_sum(block, options)
    if found is not None:
        return found
    for count in range(1, 4):
        for chosen in combinations(options, count):
            found = _gained(block, chosen)
            if found is not None:
                return found
    best = _best(block, options)
    raise Unsteerable(
        "sum",
        f"no sum of the outputs of {block.call.path} is what it adds to its input: the nearest misses by {best:.1%}",
    )


def _fit(target: Tensor, parts: Sequence[Tensor]) -> tuple[list[float], float]:
    """Factors of `parts` whose sum is nearest to `target`, and how far it is off."""
    columns = torch.stack([p.reshape(-1) for p in parts], 1)
    goal = target.reshape(-1)
    scale = columns.norm(dim=0)
    gram = (columns / scale).T @ (columns / scale)
    right = (columns / scale).T @ goal
    try:
        weights = torch.linalg.solve(gram, right)
    except RuntimeError:
        return [], float("inf")
    factors = weights / scale
    return [float(f) for f in factors], float((columns @ factors - goal).abs().max())


def _rounded(factor: float) -> float:
    """A factor as a config would say it: the noise of float32 taken off."""
    return 1.0 if abs(factor - 1.0) < 1e-4 else float(f"{factor:.7g}")


def _plain_sum(block: Block, chosen: Sequence[ModuleCall], base: Tensor | None = None) -> Sums | None:
    """post - pre = sum of factor * output."""
    start = block.pre if base is None else base
    parts = [c.given for c in chosen if c.given is not None]
    size = float(block.post.abs().max())
    ones = float((start + torch.stack(parts).sum(0) - block.post).abs().max()) / size
    if ones <= TOLERANCE:
        return Sums(_writers(chosen, [1.0] * len(chosen)), 1.0, False, ones)
    factors, error = _fit(block.post - start, parts)
    if error / size > TOLERANCE or any(abs(f) < 1e-3 for f in factors):
        return None
    return Sums(_writers(chosen, factors), 1.0, False, error / size)


def _gained(block: Block, chosen: Sequence[ModuleCall]) -> Sums | None:
    """post = gain * (pre + sum of factor * output)."""
    parts = [c.given for c in chosen if c.given is not None]
    factors, error = _fit(block.post, [block.pre, *parts])
    size = float(block.post.abs().max())
    if error / size > TOLERANCE or any(abs(f) < 1e-3 for f in factors):
        return None
    gain = factors[0]
    return Sums(_writers(chosen, [f / gain for f in factors[1:]]), _rounded(gain), False, error / size)


def _normed_sum(block: Block, options: Sequence[ModuleCall]) -> Sums | None:
    """post = norm(base + writer), where base is the block's input or such a sum itself."""
    norms = [c for c in block.calls if normlike(c) and c.given is not None and c.given.shape == block.pre.shape]
    for base in (n for n in norms if n.taken is not None and close(n.taken, block.pre)):
        for chosen in combinations(options, 2):
            both = None if base in chosen else _plain_sum(block, chosen, base.given)
            if both is not None:
                return replace(both, normed=True)
    found = _normed(block, options, norms, block.post, block.call.stop)
    if found is None:
        return None
    writers, error = found
    ordered = tuple(sorted(writers, key=lambda w: w.call.stop))
    return Sums(ordered, 1.0, True, error)


def _normed(
    block: Block, options: Sequence[ModuleCall], norms: Sequence[ModuleCall], target: Tensor, before: int
) -> tuple[list[Addend], float] | None:
    bases: list[tuple[Tensor, ModuleCall | None]] = [(block.pre, None)]
    bases += [(n.given, n) for n in norms if n.stop < before and n.given is not None]
    for base, norm in bases:
        if norm is not None and torch.equal(base, target):  # the sum itself goes through this norm
            assert norm.taken is not None
            found = _normed(block, options, norms, norm.taken, norm.start)
            if found is not None:
                return found
            continue
        for call in options:
            if call.given is None or call.stop >= before or call is norm:
                continue
            factors, error = _fit(target - base, [call.given])
            error /= float(target.abs().max())
            if not factors or error > TOLERANCE or abs(factors[0]) < 1e-3:
                continue
            own = Addend(call, _rounded(factors[0]))
            if norm is None:
                return [own], error
            assert norm.taken is not None
            if close(norm.taken, block.pre):
                return [own], error
            rest = _normed(block, options, norms, norm.taken, norm.start)
            if rest is not None:
                return [own, *rest[0]], max(error, rest[1])
    return None


def _writers(chosen: Sequence[ModuleCall], factors: Sequence[float]) -> tuple[Addend, ...]:
    pairs = sorted(zip(chosen, factors, strict=True), key=lambda pair: pair[0].stop)
    return tuple(Addend(call, _rounded(factor)) for call, factor in pairs)


def _best(block: Block, options: Sequence[ModuleCall]) -> float:
    """How far the best sum of two outputs is off, as a share of the largest number."""
    size = float(block.post.abs().max())
    errors = [1.0]
    for pair in _pairs(options):
        parts = [c.given for c in pair if c.given is not None]
        errors.append(_fit(block.post - block.pre, parts)[1] / size)
    return min(errors)


def _pairs(options: Sequence[ModuleCall]) -> Iterator[tuple[ModuleCall, ...]]:
    for count in (1, 2):
        yield from combinations(options[:40], count)
