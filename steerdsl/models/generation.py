"""How answers are generated, no matter what the files of a model say about it.

In: a model's folder, its tokenizer. Out: `Stops`, the tokens that end an answer; the settings of
transformers that hold nothing else; and every setting by name, for a model whose own are not ours.

transformers fills each setting that a caller leaves open from the model's `generation_config.json`:
penalties, forbidden words, beams. So that file is never opened by it, and where the model is not
ours (on a server), each setting is sent with its value.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from steerdsl.models.templates import turn_end

# How the steps of generation reach the model: as one of these families that decodes alone, and
# answers with names. A config can say otherwise, and transformers believes it.
LOOP = {"is_encoder_decoder": False, "return_dict": True, "output_attentions": False, "output_hidden_states": False}


@dataclass(frozen=True, slots=True)
class Stops:
    """end: an answer ends at the first of these tokens, in ascending order. pad: fills rows that
    have ended, and batches; it is masked out."""

    end: tuple[int, ...]
    pad: int


def read_stops(folder: Path, tokenizer: Any, rows: int) -> Stops:
    """The tokens that end an answer: those of generation_config.json (else of config.json), the
    tokenizer's end token, and the one that the chat template writes behind an assistant's turn. These
    can differ, and each of them says that the turn is over. `rows`: how many tokens the model knows.
    """
    given = _eos(folder / "generation_config.json") or _eos(folder / "config.json")
    found = {*given, tokenizer.eos_token_id, turn_end(tokenizer)}
    end = sorted(token for token in found if isinstance(token, int) and 0 <= token < rows)
    pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, *end, 0)
    return Stops(tuple(end), next(t for t in pads if t is not None and t < rows))


def neutral(stops: Stops) -> Any:
    """transformers' settings that hold the stops and leave everything else at its default."""
    from transformers import GenerationConfig

    return GenerationConfig(eos_token_id=list(stops.end) or None, pad_token_id=stops.pad)


def spelled_out(config: Any) -> dict[str, Any]:
    """Arguments of `generate` that say everything: `config`, with nothing open that has a default, and each
    setting by name. Named ones come last and hold, None included, against a model's own files."""
    names = {name for name in _fields() if name not in ("_from_model_config", "transformers_version")}
    defaults = {**config._get_default_generation_params(), "max_length": None}
    own = {name: getattr(config, name, None) for name in sorted(names)}
    settings = {name: defaults.get(name) if value is None else value for name, value in own.items()}
    filled = copy.deepcopy(config)
    for name, value in settings.items():
        setattr(filled, name, value)
    return {"generation_config": filled, **settings}


def settle(config: Any) -> Any:
    """Take from a model's config what steers the loop of generation; give the config back."""
    for part in (config, config.get_text_config()):
        for name, value in LOOP.items():
            setattr(part, name, value)
        declared = {field.name for field in fields(part)}
        for name in _fields() & vars(part).keys() - declared - LOOP.keys():
            delattr(part, name)
    return config


def _fields() -> set[str]:
    """The names of transformers' settings of generation."""
    from transformers import GenerationConfig

    return {name for name in vars(GenerationConfig()) if not name.startswith("_original")}


def _eos(file: Path) -> set[int]:
    """The end tokens that a JSON file of the model names, the text model's of one that has several."""
    try:
        said = json.loads(file.read_text("utf-8"))
        text = said.get("text_config")
        ids = said.get("eos_token_id", text.get("eos_token_id") if isinstance(text, dict) else None)
    except (OSError, ValueError, AttributeError, RecursionError):
        return set()
    return {token for token in (ids if isinstance(ids, list) else [ids]) if type(token) is int}
