"""`orthogonalize v against pcs of neutral` in every block: the components are read where the vector was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from lowering import lowered, messages

from steerdsl.lang.recipe import Components, Step, Sweep, Tune

MADE = """dataset emotions = "emotions.jsonl" with field: "text"
topic = extract diffmean from econ vs generic at token -2 on attn_out
other = extract probe from econ vs generic at token -2 on attn_out
emotion = extract diffmean from classes of emotions by label at token -2 on attn_out
valence = extract pca from emotion
free = orthogonalize topic against other
"""
# Where a vector is made, and `orthogonalize` is written; `{}` stands for that.
BLOCKS = {
    "the top": MADE + "{}\n",
    "a sweep": MADE + "sweep b over 1,2 {{ {}; steer s {{ add other by b at layer 3 }} }}\n",
    "a sweep over words": MADE + 'sweep b over "a","b" {{ {}; out = generate from b }}\n',
    "a tune": MADE
    + "tune b over 1..2 {{ {}; steer s {{ add other by b at layer 3 }}\n"
    + "scores = evaluate s on econ with bleu; maximize bleu.econ }}\n",
    "a used file": 'use "made.steer"\nuse "own.steer"\n',
    "a file that uses another": 'use "own.steer"\n',
    "a file that uses one that was used": 'use "made.steer"\nuse "both.steer"\n',
    "a sweep after a used file": 'use "made.steer"\n'
    + "sweep b over 1,2 {{ {}; steer s {{ add other by b at layer 3 }} }}\n",
}
VECTORS = ("topic", "free", "other + topic", "emotion", "emotion.joy", "valence", "emotion.joy - emotion.fear")


def every(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Sweep | Tune):
            for point in step.points:
                yield from every(point.steps)


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("block", BLOCKS)
def test_components_are_read_where_the_vector_was(block: str, vector: str) -> None:
    own = f"sum = {vector}\nclean = orthogonalize sum against pcs of generic with k: 2" if " " in vector else ""
    own = own or f"clean = orthogonalize {vector} against pcs of generic with k: 2"
    both = f'use "made.steer"\n{own}\n'
    files = {"made.steer": MADE, "own.steer": both if "another" in block else own + "\n", "both.steer": both}
    found = [step for step in every(lowered(BLOCKS[block].format(own), files).steps) if isinstance(step, Components)]
    assert len(found) == (2 if "sweep" in block else 1)
    for step in found:
        assert (step.position.name, step.position.number, step.stream.name) == ("token", -2, "attn_out")


@pytest.mark.parametrize("block", [block for block in BLOCKS if "file" not in block])
def test_a_vector_of_a_file_says_no_place_in_any_block(block: str) -> None:
    own = 'old = load "old.safetensors"\nclean = orthogonalize old against pcs of generic'
    assert any("it is not known where the vector was read" in text for text in messages(BLOCKS[block].format(own)))
