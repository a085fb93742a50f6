"""What a method raises when it cannot give what it promises.

In: raised by methods, readers of files and the guard of finite numbers. Out: the engine turns it into a
diagnostic with the place of its step.
"""

from __future__ import annotations


class MethodError(ValueError):
    """The data cannot give what the method promises (a zero direction, one sample where a variance
    is needed). `problem` is lower case without a full stop; `way_out` suggests."""

    def __init__(self, problem: str, way_out: str, code: str = "R810") -> None:
        super().__init__(problem)
        self.problem, self.way_out, self.code = problem, way_out, code


class NotFinite(MethodError):
    """What should be a number is nan or infinite. R811: activations, R812: logits, R813: the rest."""
