"""The forms of a model folder's files, as far as they are read here, and limits on sizes that a config declares.

transformers believes what a config says: a billion layers are a billion list items before any weight is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steerdsl.forms.files import Misread, require_regular
from steerdsl.forms.form import EACH, Either, Maybe
from steerdsl.forms.text import parse_json, read_json

LARGEST = 32 << 20  # bytes of a description; a tokenizer's own file has more, and is read by its own library
LARGEST_HEADER = 100 << 20  # bytes; safetensors' own limit
MOST_LAYERS = 10_000

_LAYERS, _WIDTH, _COUNT = range(1, MOST_LAYERS + 1), range(1, (1 << 20) + 1), range(1, 1 << 31)
_SIZES: Mapping[str, Any] = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers"), Maybe(_LAYERS)),
    **dict.fromkeys(("num_attention_heads", "n_head", "hidden_size", "n_embd", "word_embed_proj_dim"), Maybe(_WIDTH)),
    **dict.fromkeys(("head_dim", "num_key_value_heads"), Maybe(Either((_WIDTH, None)))),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "vocab_size"), Maybe(Either((_COUNT, None)))),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), Maybe(Either((_COUNT, None)))),
    "layer_types": Maybe(Either(([str], None))),
}
CONFIG: Mapping[str, Any] = {
    "model_type": str,
    "architectures": Maybe(Either(([str], None))),
    **_SIZES,
    **dict.fromkeys(("text_config", "vision_config"), Maybe(_SIZES)),
}
INDEX: Mapping[str, Any] = {"weight_map": {EACH: str}}
TENSOR: Mapping[str, Any] = {"dtype": str, "shape": [range(1 << 62)]}
HEADER: Mapping[str, Any] = {"__metadata__": Maybe(object), EACH: TENSOR}
# What was found of an architecture (`models.kept_sites`).
LARGEST_SITES = 16 << 20
_SITE = {
    "module": str,
    "side": re.compile("input|output"),
    **dict.fromkeys(("tupled", "flat"), bool),
    "onto": None,
    "factor": float,
}
_KIND = {
    "sites": {EACH: _SITE},
    "missing": {EACH: str},
    "writes": [str],
    "order": [str],
    "gain": float,
    **dict.fromkeys(("n_heads", "d_head"), int),
}
SITES: Mapping[str, Any] = {
    **dict.fromkeys(("family", "blocks"), str),
    "embeddings": [str],
    "kinds": [_KIND],
    "which": [int],
    **dict.fromkeys(("norm", "unembedding"), str | None),
    **dict.fromkeys(("d_model", "n_heads", "d_head"), int),
    "max_positions": int | None,
    "error": float,
}
_NAMED = {"name": str, "template": str}
TOKENIZER: Mapping[str, Any] = {"chat_template": Maybe(Either((str, None, [_NAMED])))}

# What transformers may read besides the weights.
_JSON: Mapping[str, Any] = {
    "config.json": CONFIG,
    "tokenizer_config.json": TOKENIZER,
    **dict.fromkeys(("generation_config.json", "special_tokens_map.json", "added_tokens.json"), dict),
}
_OTHERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json")


def require_descriptions(folder: Path) -> None:
    """Look at every file that describes a model before transformers does. Raises OSError and `Misread`."""
    for name, form in _JSON.items():
        if name == "config.json" or (folder / name).exists():
            read_json(folder / name, form, most=LARGEST)
    for name in _OTHERS:
        if (folder / name).exists():
            require_regular(folder / name)


def read_header(file: Path) -> dict[str, Any]:
    """Names, dtypes and shapes of a safetensors file's tensors: JSON behind eight bytes that give its length."""
    size = require_regular(file).st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(size, LARGEST_HEADER):
            raise Misread(f"{file.name} is cut short")
        found = parse_json(stream.read(length), HEADER, f"the header of {file.name}", finite=False)
    return {name: tensor for name, tensor in found.items() if name != "__metadata__"}
