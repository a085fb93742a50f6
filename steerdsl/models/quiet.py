"""Keeps progress bars and log lines of transformers, huggingface_hub and what they load away from the user.

In: nothing. Out: `quiet()`, a context; what was set before is restored when it ends.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOGGERS = ("transformers", "huggingface_hub", "accelerate", "bitsandbytes", "torchao", "torch.utils._pytree")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, warnings or log lines below errors while the context lasts.

    Bars are switched off at tqdm itself, because some libraries build theirs without asking anyone.
    """
    from tqdm import std

    start = std.tqdm.__init__
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}

    def hidden(bar: Any, *args: Any, **options: Any) -> None:
        start(bar, *args, **{**options, "disable": True})

    std.tqdm.__init__ = hidden
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        std.tqdm.__init__ = start
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
