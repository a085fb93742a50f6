"""Which parameters write a stream, found on a small copy of the architecture and proved by arithmetic.

In: a small model with random weights and its sites. Out: for a place where the model writes, the parameters in which
its output is linear (a projection of all of them is a projection of the output), and those that carry an addition
(a step of one is a step of the output, the same at every token). No names are known; raises `Unsteerable` with the
identity that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from steerdsl.models.recorded import prompt
from steerdsl.models.sites import Architecture
from steerdsl.models.unsteerable import Unsteerable
from steerdsl.models.written import Part, Shift, WriteSite, said

TOLERANCE = 5e-5  # of the largest number of a stream: float32's rounding, with room
ALONG = 1e-3  # of a change: how much of it may point elsewhere
FELT = 1e-6  # of the largest number: a smaller change is none


class _Reached(Exception):
    """The place that is read has been read; what comes after it need not run."""


class Writing:
    """A small model whose parts are looked at."""

    def __init__(self, model: Any, arch: Architecture) -> None:
        self.model, self.arch = model, arch
        self._ids = prompt(model.config.get_text_config().vocab_size)
        self._parts: dict[WriteSite, tuple[Part, ...]] = {}
        self._known: dict[str, list[tuple[Part, ...]]] = {}
        self._calls = self._recorded()

    def parts(self, place: WriteSite) -> tuple[Part, ...]:
        """The parameters in which what is written at a place is linear. Raises Unsteerable where it is not."""
        if place not in self._parts:
            self._parts[place] = self._found(place)
        return self._parts[place]

    def carrier(self, place: WriteSite) -> Shift:
        """The parameter that carries an addition at a place. Raises Unsteerable where none does."""
        plain = self.value(place)
        step = torch.randn(plain.shape[-1], generator=_draw(2)) * float(plain.abs().mean())
        for part in sorted(self._candidates(place, plain.shape[-1]), key=lambda p: self._parameter(p.name).ndim):
            with self._changed([part], lambda t, axis: t + _along(step, t, axis)):
                change = (self.value(place) - plain).double()
            factor = float((change @ step.double()).mean() / step.double().square().sum())
            wrong = (change - factor * step.double()).abs().max()
            if abs(factor) > 1e-3 and float(wrong) <= ALONG * float(change.abs().max()):
                return Shift(part, 1.0 if abs(factor - 1) < 1e-4 else factor)
        raise Unsteerable("carry", f"no parameter of the model is added to {said(place)} alike at every token")

    def value(self, place: WriteSite) -> Tensor:
        """What is at a place with the weights as they are: float32 [tokens, width]."""
        stream, layer = place
        site, kept = self.arch.read(stream, layer), list[Tensor]()

        def keep(value: Any) -> None:
            value = value[0] if isinstance(value, tuple | list) else value
            kept.append(value.detach().reshape(-1, value.shape[-1]) * site.factor)
            raise _Reached

        module = self.model.get_submodule(site.module)
        if site.side == "input":
            handle = module.register_forward_pre_hook(
                lambda _m, args, kwargs: keep(next(iter((*args, *kwargs.values())))), with_kwargs=True
            )
        else:
            handle = module.register_forward_hook(lambda _m, _args, output: keep(output))
        try:
            with torch.no_grad():
                self._run(place)
        except _Reached:
            pass
        finally:
            handle.remove()
        return kept[0].clone()

    def _run(self, place: WriteSite) -> None:
        if place == ("resid_pre", 0) or not self._calls:
            self._whole()
            return
        args, kwargs = self._calls[place[1]]
        self._block(place[1])(*args, **kwargs)

    def _whole(self, handles: Sequence[Any] = ()) -> None:
        """One pass of the whole model; its hooks are then taken away."""
        try:
            with torch.no_grad():
                self.model(input_ids=self._ids, attention_mask=torch.ones_like(self._ids), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()

    def _recorded(self) -> dict[int, tuple[tuple[Any, ...], dict[str, Any]]]:
        """What each block is given. Empty where a block run by itself does not give what it gave: then all run."""
        calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        gave: dict[int, Tensor] = {}
        handles = []
        for layer in range(self.arch.n_layers):
            block = self._block(layer)

            def before(_m: Any, args: Any, kwargs: Any, layer: int = layer) -> None:
                calls[layer] = (_held(args), _held(kwargs))

            def after(_m: Any, _args: Any, output: Any, layer: int = layer) -> None:
                gave[layer] = (output[0] if isinstance(output, tuple | list) else output).detach().clone()

            handles += [block.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after)]
        self._whole(handles)
        self._calls = calls
        try:
            alike = all(
                torch.allclose(self.value(("resid_post", n)), gave[n].reshape(-1, gave[n].shape[-1]), atol=1e-6)
                for n in calls
            )
        except Exception:  # a block that needs what the model keeps while it runs
            alike = False
        return calls if alike else {}

    def _found(self, place: WriteSite) -> tuple[Part, ...]:
        plain = self.value(place)
        known = self._known.setdefault(place[0], [])
        for parts in known:
            here = tuple(replace(p, name=p.name.format(l=place[1])) for p in parts)
            if all(self._has(p) for p in here) and self._misses(place, here, plain) <= TOLERANCE:
                return here
        unit = torch.nn.functional.normalize(torch.randn(plain.shape[-1], generator=_draw(1)), dim=0)
        size, found = float(plain.abs().max()), list[Part]()
        for part in self._candidates(place, plain.shape[-1]):
            with self._changed([part], lambda t, axis: t - _out(t, unit, axis)):
                change = self.value(place) - plain
            off = (change - (change @ unit)[:, None] * unit).abs().max()
            felt = float(change.abs().max())
            if felt > FELT * size and float(off) <= max(ALONG * felt, FELT * size):
                found.append(part)
        parts = tuple(dict.fromkeys(self._every(part) for part in found))
        misses = self._misses(place, parts, plain)
        if misses > TOLERANCE:
            raise Unsteerable("write", self._not_linear(place, parts, misses))
        if place == ("resid_pre", 0):
            self._require_stream_alone(parts, unit)
        head = f"{self.arch.blocks}.{place[1]}."
        known.append(tuple(replace(p, name=p.name.replace(head, f"{self.arch.blocks}.{{l}}.", 1)) for p in parts))
        return parts

    def _misses(self, place: WriteSite, parts: Sequence[Part], plain: Tensor) -> float:
        """How far the output is from its projection once all parts are projected, as a share of its largest number."""
        unit = torch.nn.functional.normalize(torch.randn(plain.shape[-1], generator=_draw(3)), dim=0)
        with self._changed(parts, lambda t, axis: t - 0.7 * _out(t, unit, axis)):
            got = self.value(place)
        wanted = plain - 0.7 * (plain @ unit)[:, None] * unit
        return float((got - wanted).abs().max() / plain.abs().max())

    def _require_stream_alone(self, parts: Sequence[Part], unit: Tensor) -> None:
        """Raise Unsteerable where blocks read the embeddings past the stream, so that an edit of them is more than one
        of the stream."""
        with self._changed(parts, lambda t, axis: t - _out(t, unit, axis)):
            edited = self._last(None)
        steered = self._last(lambda h: h - (h @ unit)[..., None] * unit)
        off = float((edited - steered).abs().max() / steered.abs().max())
        if off > 20 * TOLERANCE:
            reason = (
                f"blocks read the embeddings past the stream: with these projected the last block misses by {off:.1%}"
            )
            raise Unsteerable("write", reason)

    def _last(self, edit: Callable[[Tensor], Tensor] | None) -> Tensor:
        """What the last block gives, with or without an edit of what the first takes."""
        kept: list[Tensor] = []

        def before(_m: Any, args: Any, kwargs: Any) -> Any:
            if edit is None:
                return None
            if args:
                return (edit(args[0]), *args[1:]), kwargs
            name = next(iter(kwargs))
            return args, {**kwargs, name: edit(kwargs[name])}

        def after(_m: Any, _args: Any, output: Any) -> None:
            kept.append((output[0] if isinstance(output, tuple | list) else output).detach().clone())

        first, last = (self._block(n) for n in (0, self.arch.n_layers - 1))
        handles = [first.register_forward_pre_hook(before, with_kwargs=True), last.register_forward_hook(after)]
        self._whole(handles)
        return kept[0]

    def _not_linear(self, place: WriteSite, parts: Sequence[Part], misses: float) -> str:
        after = f" after {', '.join(p.name for p in parts[:2])}" if parts else ""
        return (
            f"what is written to {said(place)} is not linear in any weights{after}: with these projected it misses "
            f"its own projection by {misses:.1%} (a norm, a gate or a fixed addend comes between)"
        )

    def _candidates(self, place: WriteSite, width: int) -> Iterator[Part]:
        """Every axis of a stream's width of the parameters that could write at a place."""
        inside, first = f"{self.arch.blocks}.{place[1]}.", place == ("resid_pre", 0)
        for name, parameter in self.model.named_parameters(remove_duplicate=first):
            if name.startswith(f"{self.arch.blocks}." if first else inside) == first:
                continue
            yield from (Part(name, axis) for axis, size in enumerate(parameter.shape) if size == width)

    def _every(self, part: Part) -> Part:
        """A part with a `*` for its place in a list of modules, so that modules that did not run are meant as well."""
        words = part.name.split(".")
        start = 0 if not part.name.startswith(f"{self.arch.blocks}.") else self.arch.blocks.count(".") + 2
        for i, word in enumerate(words):
            listed = i >= start and word.isdigit()
            if listed and isinstance(self.model.get_submodule(".".join(words[:i])), torch.nn.ModuleList):
                words[i] = "*"
        return replace(part, name=".".join(words))

    def _has(self, part: Part) -> bool:
        names = part.names(self.model)
        own = dict(self.model.named_parameters(remove_duplicate=False))
        return bool(names) and all(name in own for name in names)

    def _block(self, layer: int) -> Any:
        return self.model.get_submodule(f"{self.arch.blocks}.{layer}")

    def _parameter(self, name: str) -> Tensor:
        found: Tensor = self.model.get_parameter(name)
        return found

    @contextmanager
    def _changed(self, parts: Sequence[Part], change: Any) -> Iterator[None]:
        """The model with some of its parameters changed while the context lasts."""
        axes = {name: part.axis for part in parts for name in part.names(self.model)}
        before = {name: self._parameter(name).detach().clone() for name in axes}
        try:
            with torch.no_grad():
                for name, axis in axes.items():
                    self._parameter(name).copy_(change(before[name], axis))
            yield
        finally:
            with torch.no_grad():
                for name, old in before.items():
                    self._parameter(name).copy_(old)


def _held(value: Any) -> Any:
    """What a block is given, so that it can be given again: tensors that later blocks may write to are copied."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: _held(v) for k, v in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_held(v) for v in value)
    return value


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _along(v: Tensor, like: Tensor, axis: int) -> Tensor:
    """A vector as a tensor that adds to `like` along an axis."""
    return v.reshape([-1 if n == axis else 1 for n in range(like.ndim)])


def _out(t: Tensor, unit: Tensor, axis: int) -> Tensor:
    """The component of a tensor along a unit vector that lies on an axis."""
    moved = t.movedim(axis, -1)
    return ((moved @ unit)[..., None] * unit).movedim(-1, axis)
