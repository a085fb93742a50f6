"""One forward pass of a model with every module's input and output written down.

In: a model and token ids. Out: `ModuleCall`s in the order in which modules run, with their tensors in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ROWS, TOKENS = 2, 7  # of the prompt; no width of a small model is like them


@dataclass(slots=True)
class ModuleCall:
    """One run of one module. taken, given: its first input and its output (or the first of a tuple), float64
    [ROWS, TOKENS, d], None where these are no activations of the prompt. flat: the output is [ROWS * TOKENS, d];
    flat_in: so is the input. start, stop: its place among all beginnings and ends."""

    path: str
    module: Any
    start: int
    stop: int = -1
    taken: Tensor | None = None
    given: Tensor | None = None
    tupled: bool = False
    flat: bool = False
    flat_in: bool = False
    shape: tuple[int, ...] | None = None


def prompt(vocab: int) -> Tensor:
    """Token ids [ROWS, TOKENS] without a repetition, within a vocabulary."""
    ids = torch.arange(ROWS * TOKENS).reshape(ROWS, TOKENS) * 5 + 11
    return ids % max(vocab - 8, 1) + 4 if vocab > 16 else ids % vocab


def record(model: Any, ids: Tensor) -> list[ModuleCall]:
    """Every call of every module of one pass over `ids`, sorted by its beginning."""
    calls: list[ModuleCall] = []
    with _hooked(model, calls), torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return calls


@contextmanager
def _hooked(model: Any, calls: list[ModuleCall]) -> Iterator[None]:
    clock, open_calls, handles = [0], dict[int, list[ModuleCall]](), list[Any]()

    def tick() -> int:
        clock[0] += 1
        return clock[0]

    def before(path: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            call = ModuleCall(path, module, tick())
            first = next(iter((*args, *kwargs.values())), None)
            call.taken, call.flat_in = _rows(first)
            calls.append(call)
            open_calls.setdefault(id(module), []).append(call)

        return hook

    def after(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        call = open_calls[id(module)].pop()
        call.stop, call.tupled = tick(), isinstance(output, tuple | list)
        value = output[0] if call.tupled and output else output
        call.given, call.flat = _rows(value)
        call.shape = tuple(value.shape) if isinstance(value, Tensor) else None

    try:
        for path, module in model.named_modules():
            if path:
                handles.append(module.register_forward_pre_hook(before(path), with_kwargs=True))
                handles.append(module.register_forward_hook(after, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rows(value: Any) -> tuple[Tensor | None, bool]:
    """A value as activations of the prompt, and whether its tokens are flattened."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return None, False
    if value.ndim == 2 and value.shape[0] == ROWS * TOKENS:
        return value.detach().double().reshape(ROWS, TOKENS, -1), True
    if value.ndim == 3 and value.shape[:2] == (ROWS, TOKENS):
        return value.detach().to(torch.float64, copy=True), False
    return None, False
