"""How many rows a batch has where the command line does not say.

In: a model's config, its dtype and the width of a row in tokens. Out: a number that follows from these alone,
never from the memory that happens to be free or from the clock, so that the same plan makes the same batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steerdsl.models.facts import ModelFacts

MOST_ROWS = 288  # measured on two cores with the default model: larger batches gain nothing
MEMORY = 2**32  # bytes for the rows of one batch, by an estimate that is two or three times too high
READ = 2048  # tokens of a batch that is read in one pass: more gain nothing on a processor, and need memory
LOGITS = 2**30  # bytes of the float32 logits of whole texts that are held at once


def answer_rows(facts: ModelFacts, dtype: str, width: int) -> int:
    """How many answers of `width` tokens, prompts included, are made at once."""
    return max(1, min(MOST_ROWS, MEMORY // row_bytes(facts, dtype, width)))


def text_rows(width: int) -> int:
    """How many texts of `width` tokens are read at once, of which activations or last logits are kept."""
    return max(1, READ // max(1, width))


def logit_rows(vocabulary: int, width: int) -> int:
    """How many texts of `width` tokens are read at once whose logits are all needed."""
    return max(1, min(READ, LOGITS // (4 * vocabulary)) // max(1, width))


def row_bytes(facts: ModelFacts, dtype: str, width: int) -> int:
    """Memory of one row of `width` tokens: its cache, one block's working tensors in float32 (attention
    scores among them), and its logits, which sampling takes in float64."""
    arch, config = facts.arch, facts.config.get_text_config()
    heads: int = getattr(config, "num_key_value_heads", None) or arch.n_heads
    inner: int = getattr(config, "intermediate_size", None) or 4 * arch.d_model
    cache = 2 * arch.n_layers * heads * arch.d_head * (4 if dtype == "float32" else 2)
    work = 4 * (4 * inner + 8 * arch.d_model + arch.n_heads * width)
    vocab: Any = config.vocab_size
    return width * (cache + work) + 32 * int(vocab)
