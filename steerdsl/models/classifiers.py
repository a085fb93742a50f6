"""Models that sort texts into labels: what their config says, and how they are opened.

In: a model's folder. Out: its labels, or the model with its tokenizer. No code of a repository runs, and weights that
are missing are an error: transformers would make them at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.catalog import Located
from steerdsl.models.quiet import quiet

ENDING = "ForSequenceClassification"
LARGEST = 4 << 20  # bytes of a config
_UNBOUNDED = 1 << 30  # what tokenizers say where they know no length is more


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a classifier in the order of its outputs. `several` of them may hold of one text, each with a
    probability of its own; else their probabilities add up to 1."""

    names: tuple[str, ...]
    several: bool

    def place(self, label: str) -> int | None:
        """The output of a label, in any letter case where that is clear."""
        alike = [n for n, name in enumerate(self.names) if name.casefold() == label.casefold()]
        return self.names.index(label) if label in self.names else alike[0] if len(alike) == 1 else None


def read_labels(located: Located) -> Labels:
    """The labels of a classifier. Raises RecipeError R942 for a model that is none."""
    try:
        found = read_json(located.path / "config.json", dict, most=LARGEST)
    except (OSError, ValueError) as error:
        raise RecipeError([_none(located, f"its config.json cannot be read: {error}")]) from error
    classes = found.get("architectures")
    if not isinstance(classes, list) or not any(isinstance(c, str) and c.endswith(ENDING) for c in classes):
        of = f"it is a {classes[0]}" if isinstance(classes, list) and classes else "its config names no kind"
        raise RecipeError([_none(located, of)])
    if found.get("auto_map"):
        raise RecipeError([_none(located, "it brings Python code, which never runs here")])
    named = found.get("id2label")
    pairs = named if isinstance(named, Mapping) else {}
    names = tuple(pairs.get(str(n)) for n in range(len(pairs)))
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise RecipeError([_none(located, "its config names fewer than two labels")])
    return Labels(tuple(map(str, names)), found.get("problem_type") == "multi_label_classification")


def _none(located: Located, reason: str) -> Diagnostic:
    title = f"`{located.id}` is not a classifier of texts: {reason}"
    return Diagnostic("R942", title, help="name a model for sequence classification; ask any other with `judge`")


@dataclass(slots=True)
class Classifier:
    """An opened classifier. `longest`: tokens that it reads; None where it says no number."""

    model: Any
    tokenizer: Any
    longest: int | None


def open_classifier(located: Located, dtype: str, device: str) -> Classifier:
    """The model with its tokenizer. Raises RecipeError R942 where its files cannot be opened or lack weights."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from steerdsl.models.device import choose_device

    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(located.path, **safe)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                located.path, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True, **safe
            )
    except Exception as error:  # what odd files trip in the library is not foreseeable
        reason = f"it cannot be opened ({type(error).__name__}: {str(error).partition(chr(10))[0][:200]})"
        raise RecipeError([_none(located, reason)], Exit.FAILED) from error
    if missing := sorted(report["missing_keys"]):
        raise RecipeError([_none(located, f"its files lack the weights {missing[0]}")], Exit.FAILED)
    known = (tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None))
    lengths = [n for n in known if isinstance(n, int) and 0 < n < _UNBOUNDED]
    return Classifier(model.eval().to(choose_device(device)), tokenizer, min(lengths, default=None))
