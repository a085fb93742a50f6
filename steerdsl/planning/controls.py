"""What is scored besides a steer: the unsteered model, random directions, plain prompting.

In: an evaluation and the steps that it names. Out: its `Variant`s, the baseline first. Controls answer
what every reader asks: does a random edit of this size do the same, and does asking for it do more?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steerdsl.lang import recipe as r
from steerdsl.lang.variants import BASELINE, PROMPTED, RANDOM
from steerdsl.planning.keys import step_key
from steerdsl.registry import find


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to answer the prompts. `steer`: whose operations act, if any; `draw`: the seed of the random directions
    that act instead of its own, or None; `instruction`: put before each prompt."""

    name: str
    steer: str | None = None
    draw: int | None = None
    instruction: str | None = None

    @property
    def title(self) -> str:
        """The name, with the draw of a random control: `random, draw 3`."""
        return self.name if self.draw is None else f"{self.name}, draw {self.draw}"

    def steer_key(self, keys: Mapping[str, str]) -> str | None:
        """The content key of what acts; None when nothing does."""
        if self.steer is None:
            return None
        key = keys[self.steer]
        return key if self.draw is None else step_key("random", 3, {}, steer=key, seed=self.draw)


def variants(
    step: r.Evaluate, steer: r.Steer, named: Mapping[str, r.Step], data: Mapping[str, r.DataSpec]
) -> tuple[Variant, ...]:
    """The variants of an evaluation, in the order of the tables. `named` are the recipe's steps so far.

    Every draw of the random control is a separate variant; their seeds are 0, 1, …. A steer that only patches has
    no random control; the prompting control needs an instruction, given or evident from what the steer removes or
    adds.
    """
    controls = step.options.get("controls", "all")
    found = [Variant(BASELINE), Variant(step.steer, step.steer)]
    if controls in ("all", "random") and any(op.operand is not None for op in steer.ops):
        found += [Variant(RANDOM, step.steer, draw=seed) for seed in range(step.options["draws"])]
    instruction = step.options.get("instruction") or evident(steer, named, data)
    if controls in ("all", "prompting") and instruction is not None:
        found.append(Variant(PROMPTED, instruction=instruction))
    return tuple(found)


def evident(steer: r.Steer, named: Mapping[str, r.Step], data: Mapping[str, r.DataSpec]) -> str | None:
    """What a person would ask for instead of steering; None where its operations do not say.

    `ablate` of a direction from econ against generic is "Do not discuss economics.", `add` of it
    "Discuss economics."; pairs of answers and planes have no topic to name, nor have prompts that are
    declared unsafe, which are requests of all kinds.
    """
    for op in steer.ops:
        topic = _topic(op.operand, named, data)
        effect = find("op", op.name).effect
        if topic is not None and effect in ("removes", "adds"):
            return f"Do not discuss {topic}." if effect == "removes" or _negative(op) else f"Discuss {topic}."
    return None


def _negative(op: r.Op) -> bool:
    strength = op.args["by"]
    return isinstance(strength, r.Strength) and strength.value < 0


def _topic(operand: object, named: Mapping[str, r.Step], data: Mapping[str, r.DataSpec]) -> str | None:
    """What a vector's positive prompts are about: a built-in data set's subject, or its name's words."""
    if not isinstance(operand, r.VectorRef):
        return None
    source = named.get(operand.name)
    if isinstance(source, r.Bind):
        return _topic(source.value, named, data)
    if not isinstance(source, r.Extract) or source.positive is None or source.negative is None:
        return None
    if source.positive.side is not None or source.positive.name == source.negative.name:
        return None
    spec = data[source.positive.name]
    if spec.unsafe:
        return None
    subject = find("data", spec.source).subject if spec.kind == "builtin" else ""
    return subject or spec.name.replace("_", " ")
