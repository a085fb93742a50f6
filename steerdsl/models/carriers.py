"""Where the weights of a model write its streams, by its config.

In: a config. Out: `writing(config)`, its small copy to be looked at, built once for a process; `carrier(config,
place)`, what carries an addition there, also a bias that the model has only once its config says so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from steerdsl.models.architecture import architecture
from steerdsl.models.kept_sites import key
from steerdsl.models.small import require_family, small_model
from steerdsl.models.unsteerable import Unsteerable
from steerdsl.models.writers import Writing
from steerdsl.models.written import Shift, WriteSite

_MADE: dict[str, Writing] = {}


def writing(config: Any) -> Writing:
    """The small copy of the model that `config` describes. Raises RecipeError as `architecture`, and M605 for a type
    whose saved checkpoints transformers does not open again."""
    name = key(config)
    if name not in _MADE:
        arch, model = architecture(config), small_model(config)
        require_family(str(model.config.model_type))
        _MADE[name] = Writing(model, arch)
    return _MADE[name]


def carrier(config: Any, place: WriteSite) -> Shift:
    """What carries an addition at a place. Raises Unsteerable where nothing does."""
    try:
        return writing(config).carrier(place)
    except Unsteerable as error:
        for name in _biases(config):
            try:
                found = writing(with_settings(config, {name: True})).carrier(place)
            except Exception:  # what an odd config trips in the library is not foreseeable
                continue
            return replace(found, settings={name: True})
        raise error


def with_settings(config: Any, settings: Mapping[str, Any]) -> Any:
    """A copy of a config with other fields of its text model."""
    changed = copy.deepcopy(config)
    for name, value in settings.items():
        setattr(changed.get_text_config(), name, value)
    return changed


def _biases(config: Any) -> Iterator[str]:
    """Fields that could give a linear map a bias."""
    for name, value in sorted(config.get_text_config().to_dict().items()):
        if value is False and "bias" in name:
            yield name
