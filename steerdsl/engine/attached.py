"""Steer a model that a program has loaded itself, with the touches that runs use.

In: a causal LM of transformers, and the touches of one steer (`batch_edits.compile_rows`). Out: the same model, whose
passes are edited by PyTorch hooks while the context lasts. `edits.touched` does the same here as in a run; this module
only keeps count of the passes: a call without cached tokens reads a prompt, and each later one a generated token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from steerdsl.engine.edits import Touch, activation, touched, unscaled, walk
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError

if TYPE_CHECKING:
    from torch import Tensor

GENERATE = "call model.generate(…) with its cache and without an assistant, or the model itself token by token"


@contextmanager
def attached(model: Any, touches: Sequence[Touch]) -> Iterator[None]:
    """Make the touches in every pass of `model`. Raises RecipeError R903 from a pass that cannot be steered.

    Other contexts may be open on the same model: they act in the order in which they were opened.
    """
    passes = PassCount()
    handles = [model.register_forward_pre_hook(passes.begin, with_kwargs=True)]
    generate = model.__dict__.get("generate")
    try:
        for touch in touches:
            handles.append(_hook(walk(model, touch["path"]), touch, passes))
        model.generate = passes.generating(model.generate)
        yield
    finally:
        for handle in handles:
            handle.remove()
        if generate is not None:
            model.generate = generate
        else:
            model.__dict__.pop("generate", None)


class PassCount:
    """Where a generation is: the number of the pass, the tokens read so far, what its edits remember, and the mask
    of the prompt's real tokens (None where nothing is padded)."""

    def __init__(self) -> None:
        self.step, self.seen, self.rows = -1, 0, 0
        self.memory: dict[str, Any] = {}
        self.stash: dict[str, Any] = {}
        self.mask: Tensor | None = None
        self.fresh = False  # inside `generate`, before its first pass
        self.inside = False  # inside `generate`

    def generating(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        """`generate`, telling when it begins and ends."""

        def generating(*args: Any, **kwargs: Any) -> Any:
            outer = self.inside
            self.inside, self.fresh = True, not outer or self.fresh
            try:
                return generate(*args, **kwargs)
            finally:
                self.inside = outer

        return generating

    def begin(self, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A pass begins."""
        given = args[0] if args else kwargs.get("input_ids")
        tokens = given if given is not None else kwargs.get("inputs_embeds")
        if tokens is None:
            raise _refused("this call gives the model neither input_ids nor inputs_embeds")
        rows, count = tokens.shape[:2]
        cache = kwargs.get("past_key_values")
        cached = 0 if cache is None else int(cache.get_seq_length())
        self.stash = {}
        if cached == 0:
            if self.inside and not self.fresh:
                raise _refused("generation without a cache reads the answer as a part of the prompt")
            self.step, self.seen, self.rows, self.memory = 0, count, rows, {}
            self.mask = _padding(kwargs.get("attention_mask"), count)
        elif self.step < 0 or self.fresh or cached != self.seen:
            raise _refused("the cache holds tokens that were read without this steer")
        elif count != 1 or rows != self.rows:
            raise _refused(f"a pass reads {count} tokens of {rows} rows, where one of {self.rows} rows is due")
        else:
            self.step, self.seen = self.step + 1, self.seen + 1
        self.fresh = False


def _hook(module: Any, touch: Touch, passes: PassCount) -> Any:
    """Make a touch whenever its module runs."""

    def edited(value: Tensor) -> Tensor:
        found = activation(value, passes.rows, touch["factor"])
        new = touched(touch, found, passes.step, passes.mask, passes.memory, passes.stash)
        return value if new is found else unscaled(new.reshape(value.shape), value, touch["factor"])

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (edited(args[0]), *args[1:]), kwargs
        name = next(iter(kwargs))
        return args, {**kwargs, name: edited(kwargs[name])}

    def after(_: Any, args: Any, output: Any) -> Any:
        if isinstance(output, tuple | list):
            return type(output)((edited(output[0]), *output[1:]))
        return edited(output)

    if touch["side"] == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


def _padding(mask: Any, count: int) -> Tensor | None:
    """The mask of real tokens as edits take it. Raises RecipeError R903 for one that does not tell them."""
    if mask is None:
        return None
    if getattr(mask, "ndim", None) != 2 or mask.shape[1] != count:
        raise _refused("the attention mask does not say which tokens are real: [rows, tokens] is wanted")
    real: Tensor = mask.bool()
    return None if bool(real.all()) else real


def _refused(why: str) -> RecipeError:
    title = f"a steer cannot follow this pass: {why}"
    return RecipeError([Diagnostic("R903", title, help=GENERATE)], Exit.FAILED)
