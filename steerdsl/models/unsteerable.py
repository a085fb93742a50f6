"""The reason why a model has no residual stream that can be steered."""

from __future__ import annotations


class Unsteerable(Exception):
    """`what` is the identity that failed ("stack", "chain", "causal", "sum"), or "run" where no pass could be
    made; `reason` says in words what was found, and by how much."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(reason)
        self.what, self.reason = what, reason
