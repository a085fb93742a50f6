"""How many heads a layer's attention has and how wide one is, by the config, held against what a model does.

In: a config, a layer and the width of what the output projection takes. Out: the first pair of the config's sizes
that makes that width.
"""

from __future__ import annotations

from typing import Any

_COUNTS = ("num_attention_heads", "n_head", "num_heads", "swa_num_attention_heads", "attention_heads")
_WIDTHS = (
    "head_dim",
    "v_head_dim",
    "global_head_dim",
    "swa_v_head_dim",
    "swa_head_dim",
    "attention_head_dim",
    "kv_channels",
)
LISTED = "num_attention_heads_per_layer"

Rule = tuple[str, str]


def rules(config: Any, layer: int) -> dict[Rule, tuple[int, int]]:
    """Every pair of a count of heads and a head's width that the text config has for a layer, by its names."""
    text = config.get_text_config()
    counts, widths = {}, {}
    own = _of_layer(text, layer)
    listed = getattr(own, LISTED, None)
    if isinstance(listed, list) and layer < len(listed):
        counts[LISTED] = listed[layer]
    for name in _COUNTS:
        if isinstance(value := getattr(own, name, None), int) and value > 0:
            counts.setdefault(name, value)
    for name in _WIDTHS:
        if isinstance(value := getattr(own, name, None), int) and value > 0:
            widths[name] = value
    found = {(count, width): (counts[count], widths[width]) for count in counts for width in widths}
    hidden = getattr(own, "hidden_size", 0) or 0
    for count, number in counts.items():
        if number and hidden >= number:
            found[count, "hidden_size"] = (number, hidden // number)
    return found


def _of_layer(text: Any, layer: int) -> Any:
    """The sizes of one layer, where the config has some for each."""
    each = getattr(text, "per_layer_config", None)
    try:
        return text if each is None else each[layer]
    except (AttributeError, IndexError):  # a config that does not count its blocks as others do
        return text


def rule_for(config: Any, layer: int, width: int) -> Rule | None:
    """The names of the pair that makes `width`."""
    return next((rule for rule, (count, each) in rules(config, layer).items() if count * each == width), None)
