"""Every argument of the functions for Python programs, held to its type and bounds before anything is read.

In: what a program passes. Out: plain values that a plan and its record can hold: numpy's and torch's scalars become
Python's, paths become texts or `Path`s. Raises TypeError for a value of a wrong type, ValueError for one out of its
bounds, each with the argument's name.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import nearest
from steerdsl.models.places import require_device, require_dtype
from steerdsl.pipeline import BACKENDS
from steerdsl.running.progress import Quiet, StepProgress

LARGEST_SEED = 2**53 - 1  # as in a recipe
MOST_ROWS = 1_000_000  # of a batch


def options(given: Mapping[str, Any], others: Iterable[str]) -> dict[str, Any]:
    """The options of a run. `others` are the function's further arguments, for what a misspelt one may mean."""
    for name in given.keys() - OPTIONS.keys():
        guess = nearest(name, (*OPTIONS, *others))
        raise TypeError(f"there is no option {name!r}" + (f"; did you mean {guess!r}?" if guess else ""))
    found = {name: OPTIONS[name](name, value) for name, value in given.items()}
    for name in ("host", "insecure"):
        if found.get(name) and found.get("on") != "ndif":
            raise ValueError(f"{name} goes with on='ndif'")
    return found


def params(given: Any) -> dict[str, str]:
    """Values of params as one writes them in a recipe."""
    try:
        pairs = dict(given or {})
    except (TypeError, ValueError):
        raise TypeError(f"params is a mapping such as {{'strength': 2}}, not {_short(given)}") from None
    return {_param_name(name): _param_text(name, _plain(value)) for name, value in pairs.items()}


def folders(name: str, given: Any) -> tuple[Path, ...]:
    """Paths, or a single one."""
    if isinstance(given, str | PathLike):
        return (path(name, given),)
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"{name} is a path or several, not {_short(given)}")
    return tuple(path(name, one) for one in given)


def path(name: str, given: Any) -> Path:
    """A path that is not empty."""
    return Path(place(name, given))


def flag(name: str, given: Any) -> bool:
    """True or False, and nothing that is merely true."""
    value = _plain(given)
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, not {_short(given)}")
    return value


class Told:
    """Progress that passes on what happens to a callable, and to those of its methods `title`, `finished` and `say`
    that it has. What it has no `say` for, it is called with."""

    def __init__(self, call: Callable[[str, int, int, str], object]) -> None:
        self.call = call

    def __call__(self, text: str, done: int, total: int, unit: str = "") -> None:
        self.call(text, done, total, unit)

    def title(self, text: str) -> None:
        self._pass_on("title", text)

    def finished(self, note: str = "") -> None:
        self._pass_on("finished", note)

    def say(self, text: str) -> None:
        if not self._pass_on("say", text):
            self.call(text, 0, 0, "")

    def _pass_on(self, method: str, text: str) -> bool:
        own = getattr(self.call, method, None)
        if not callable(own):
            return False
        own(text)
        return True


def steer(given: Any) -> str | Mapping[str, Any] | None:
    """A steer's name, or weights by name."""
    if given is None or isinstance(given, str | Mapping):
        return given
    raise TypeError(f"steer is a name, or weights by name, not {_short(given)}")


def progress(given: Any) -> StepProgress | None:
    """What gets news of a run, as something that has every method; None where nothing was said of it."""
    if given is None:
        return None
    if given is False:
        return Quiet()
    wanted = "progress is called with a text, done, total and a unit"
    if not callable(given):
        raise TypeError(f"{wanted}, and {_short(given)} cannot be called")
    try:
        parameters = signature(given)
    except ValueError:  # a builtin that does not say
        return Told(given)
    try:
        parameters.bind("", 0, 0, "")
    except TypeError as error:
        raise TypeError(f"{wanted}, which {_short(given)} does not take: {error}") from None
    return Told(given)


def _whole(least: int, most: int) -> Callable[[str, Any], int | None]:
    def whole(name: str, given: Any) -> int | None:
        value = _plain(given)
        if value is None:
            return None
        wanted = f"{name} is a whole number from {least} to {most}, not {_short(given)}"
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(wanted) from None
        if isinstance(value, bool):
            raise TypeError(wanted)
        if not least <= number <= most:
            raise ValueError(wanted)
        return number

    return whole


def _rows(name: str, given: Any) -> int | None:
    return None if isinstance(given, str) and given == "auto" else _whole(1, MOST_ROWS)(name, given)


def _text(name: str, given: Any) -> str | None:
    return None if given is None else _word(name, given)


def _word(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{name} is a text, not {_short(given)}")
    if not given.strip():
        raise ValueError(f"{name} is empty")
    return str(given)


def place(name: str, given: Any) -> str:
    text = fspath(given) if isinstance(given, PathLike) else given
    if not isinstance(text, str):
        raise TypeError(f"{name} is a text or a path, not {_short(given)}")
    if "\0" in text:
        raise ValueError(f"{name} has a null character: {text!r}")
    return _word(name, text)


def _device(name: str, given: Any) -> str:
    word = _word(name, str(given) if _of_torch(given, "device") else given)
    require_device(word)
    return word


def _dtype(name: str, given: Any) -> str | None:
    """A word, or torch's own value by its name: torch need not be loaded to know it."""
    word = _text(name, str(given).removeprefix("torch.") if _of_torch(given, "dtype") else given)
    require_dtype(word)
    return word


def _on(name: str, given: Any) -> str:
    if _word(name, given) not in BACKENDS:
        raise ValueError(f"{name} is one of {', '.join(BACKENDS)}, not {_short(given)}")
    return str(given)


# What each option must be. `model` is a separate argument.
OPTIONS: Mapping[str, Callable[[str, Any], Any]] = {
    "device": _device,
    "dtype": _dtype,
    "batch_size": _rows,
    "seed": _whole(0, LARGEST_SEED),
    "on": _on,
    "host": _text,
    "insecure": flag,
    "offline": flag,
    "keep_unsafe": flag,
    "judge_url": _text,
    "judge_model": _text,
}


def model(given: Any) -> str | None:
    """A model's id or folder. A path is a folder: written as one, it is taken for no id."""
    if given is None:
        return None
    named = place("model", given)
    folder = isinstance(given, PathLike) and not named.startswith((".", "~")) and not Path(named).is_absolute()
    return f"./{named}" if folder else named


def _param_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"params has a name that is not a text: {_short(name)}")
    return str(name)


def _param_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"params[{name!r}] is a number or a text, not {_short(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"params[{name!r}] is a finite number, not {_short(number)}")
    return repr(value)


def _plain(value: Any) -> Any:
    """A scalar of numpy or torch as Python's own value; all else as it is."""
    take = getattr(value, "item", None)
    if not callable(take):
        return value
    try:
        return take()
    except (TypeError, ValueError, RuntimeError):  # more than one number
        return value


def _of_torch(value: Any, name: str) -> bool:
    kind = type(value)
    return (kind.__module__, kind.__name__) == ("torch", name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
