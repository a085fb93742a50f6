"""A PEFT adapter on its base: found, identified, and put into the loaded model.

In: the folder or hub id that a recipe names, and the base as it was loaded. Out: `Adapter`, which its base carries;
a model whose modules keep their places, so that every site is where it was. An adapter is read whole or refused: no
tensor of its file is left out, none is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from steerdsl.forms.form import Either, Maybe
from steerdsl.forms.models import LARGEST, read_header
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.quiet import quiet
from steerdsl.models.weights import files_hash

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_CONFIG: Mapping[str, Any] = {
    "peft_type": str,
    "base_model_name_or_path": Maybe(Either((str, None))),
    "layer_replication": Maybe(object),
}
_WAY_OUT = "give a folder or a hub id that holds adapter_config.json and adapter_model.safetensors, as PEFT saves them"


class AdapterPlace(NamedTuple):
    """Where the adapter is that a recipe names: its folder or hub id, the folder from which a relative one is taken,
    and those in which it must lie."""

    name: str
    base: Path | None = None
    within: tuple[Path, ...] | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """id: as the recipe names it. revision: the hub's commit. sha256: of its settings and its weights. base: the
    model that it says it was trained on."""

    id: str
    path: Path
    revision: str | None
    sha256: str
    base: str | None


def read_adapter(name: str, folder: Path, revision: str | None) -> Adapter:
    """The adapter in a folder. Raises RecipeError M662 for what is not one, or of a kind that cannot be used."""
    if not (folder / WEIGHTS).is_file():
        raise RecipeError([no_adapter(name, f"there is no {WEIGHTS}; other formats can run code when they are opened")])
    try:
        said = read_json(folder / SETTINGS, _CONFIG, most=LARGEST)
        read_header(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise RecipeError([no_adapter(name, str(error))]) from error
    if said.get("layer_replication"):
        raise RecipeError([no_adapter(name, "it repeats layers of its base, so that layers have other numbers")])
    digest = files_hash((folder / SETTINGS, folder / WEIGHTS))
    return Adapter(name, folder, revision, digest, said.get("base_model_name_or_path") or None)


def no_adapter(name: str, reason: str) -> Diagnostic:
    """The message for what is not an adapter that can be used (M662)."""
    return Diagnostic("M662", f"`{name}` cannot be used as an adapter: {reason.splitlines()[0]}", help=_WAY_OUT)


def attach(model: Any, adapter: Adapter, base: str) -> Any:
    """The model called `base` with an adapter inside: the same modules, of which some add what the adapter says.

    Raises RecipeError M662 for a kind of adapter that is not in the modules, M663 where it does not fit the base,
    and where `peft` is missing.
    """
    try:
        from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    except ImportError as error:
        title = f"the adapter `{adapter.id}` needs the package peft"
        raise RecipeError([Diagnostic("M663", title, help="run `pip install peft`")], Exit.FAILED) from error
    try:
        with quiet():
            config = PeftConfig.from_pretrained(str(adapter.path))
            if config.is_prompt_learning:
                kind = getattr(config.peft_type, "value", config.peft_type)
                raise RecipeError([no_adapter(adapter.id, f"{kind} adds virtual tokens, which no prompt here has")])
            whole = PeftModel.from_pretrained(model, str(adapter.path), config=config, use_safetensors=True)
            taken = get_peft_model_state_dict(whole, save_embedding_layers=False)
    except RecipeError:
        raise
    except Exception as error:  # peft raises what its kind of adapter does
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        # torch says first that there are errors, and then which.
        raise _misfit(adapter, base, lines[1] if lines[0].endswith(":") and lines[1:] else lines[0]) from error
    held = read_header(adapter.path / WEIGHTS)
    if odd := sorted(held.keys() ^ taken.keys()):
        has = "has no place for" if odd[0] in held else "would be without a value for"
        raise _misfit(
            adapter, base, f"the model {has} {odd[0]}" + (f" and {len(odd) - 1} more" if len(odd) > 1 else "")
        )
    return whole.get_base_model()


def _misfit(adapter: Adapter, base: str, reason: str) -> RecipeError:
    notes = [f"the reason given: {reason[:300]}"]
    if adapter.base is not None:
        notes.append(f"its settings say that it was trained on {adapter.base}")
    title = f"the adapter `{adapter.id}` does not fit `{base}`"
    return RecipeError(
        [Diagnostic("M663", title, (), tuple(notes), "give the model that it was trained on")], Exit.FAILED
    )
