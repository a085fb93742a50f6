"""What is known about a model without its weights.

In: a model id or folder. Out: `ModelFacts`: sizes, streams and sites from the config, the chat
template and its hash, and the tokenizer where its files are at hand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.forms.models import read_chat_template
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models import hub
from steerdsl.models.catalog import DEFAULT_MODEL, Located, did_you_mean, find, full_id, unreachable
from steerdsl.models.config import read_config
from steerdsl.models.quiet import quiet
from steerdsl.models.sites import Architecture, architecture

_BUILTIN = Path(__file__).parent / "builtin" / "SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as its config describes it; `tokenizer` is None until its files have been fetched."""

    located: Located
    config: Any
    arch: Architecture
    template: str | None
    tokenizer: Any | None
    tokenizer_sha256: str | None

    @property
    def template_sha256(self) -> str | None:
        """Hash of the chat template; None for a model without one."""
        return template_hash(self.template)


def read_facts(
    model: str | None,
    *,
    revision: str | None = None,
    base: Path | None = None,
    within: tuple[Path, ...] | None = None,
    offline: bool = False,
) -> ModelFacts:
    """Read what describes a model. Only small files are fetched, and none for the default model.

    `base` and `within` as in `find`. Raises RecipeError: M601, M602, M603, M612 and M615 as `locate`,
    M605 (not a causal language model of the table of sites), M606 (files that cannot be read).
    """
    located = find(model, revision=revision, base=base, within=within)
    if located is None:
        located = _described(full_id(model), revision, offline)
    config = read_config(located.id, located.path)
    tokenizer = read_tokenizer(located) if located.source != "builtin" else None
    return ModelFacts(
        located, config, architecture(config), read_template(located.path), tokenizer, tokenizer_hash(located.path)
    )


def _described(name: str, revision: str | None, offline: bool) -> Located:
    """A folder that describes a model whose weights are not here yet."""
    if name == DEFAULT_MODEL and revision is None:
        return Located(name, _BUILTIN, None, None, "builtin")
    if offline:
        title = f"`{name}` is not on this machine, and --offline forbids asking the hub about it"
        way_out = f"run `steerdsl models fetch {name}` once with a network"
        raise RecipeError([Diagnostic("M602", title, help=did_you_mean(name) or way_out)], exit_code=3)
    try:
        folder = hub.fetch(name, revision, weights=False)
    except hub.Unreachable as error:
        raise RecipeError([unreachable(name, error)], exit_code=3) from error
    return Located(name, folder, folder.name, None, "hub")


def read_tokenizer(located: Located) -> Any:
    """The model's tokenizer, padding on the left. Raises RecipeError M606 when it cannot be read."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                located.path, local_files_only=True, trust_remote_code=False, padding_side="left"
            )
    except Exception as error:  # tokenizers raises plain Exception for a damaged file
        title = f"the tokenizer of `{located.id}` cannot be read"
        note = (f"the reason given: {first_line(error)}",)
        raise RecipeError([Diagnostic("M606", title, (), note, "fetch or copy the model again")]) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        title = f"the tokenizer of `{located.id}` has no fast form, which says where each token lies in the text"
        raise RecipeError([Diagnostic("M606", title, help="save it with a tokenizer.json")])
    return tokenizer


def read_template(folder: Path) -> str | None:
    """The chat template among a model's files, or None."""
    return read_chat_template(folder)


def template_hash(template: str | None) -> str | None:
    """SHA-256 of a chat template's text; None for None."""
    return None if template is None else hashlib.sha256(template.encode()).hexdigest()


def tokenizer_hash(folder: Path) -> str | None:
    """SHA-256 over the tokenizer's own file; None when there is none."""
    names = ("tokenizer.json", "tokenizer.model", "vocab.json")
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def first_line(error: Exception) -> str:
    """The start of an error's text, for a note."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
