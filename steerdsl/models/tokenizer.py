"""A model's tokenizer: opened as its own file says, and told from others by what it does.

In: a model folder. Out: `Tokenizer`: transformers' object, whether that had to be built from
tokenizer.json alone, and a hash that changes exactly when token ids or texts can.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.quiet import quiet

if TYPE_CHECKING:
    from steerdsl.models.catalog import Located

_SAMPLE = 4000  # entries of a vocabulary that are tried
# Where pre-tokenizers and normalizers of this field part: digits, runs of white space, capitals,
# contractions, punctuation, accents in both forms, full-width letters, scripts without spaces, emoji.
_PROBES = (
    "x = 10\n\n 20",
    "1234567 3.14159 1,000,000 0x1F 2024-07-26 a1b22c333",
    " leading,  two   three    four\tone\t\ttabs\r\n\r\n  end  ",
    "\n\n\n    return 7\n\n\tif x1 == 42:\n 5\n  66\n   777",
    "I'm don't they'LL we've IT'S",
    "HELLOWorld camelCaseText snake_case_text",
    "wait... what?! (yes) [no] {maybe} <tag> a/b\\c @you #42 50% $9 C++",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m \ufb01ne \uff21\uff22\uff23\uff11\uff12",
    "\u4f60\u597d\u4e16\u754c2024\u5e74 \u3053\u3093\u306b\u3061\u306f \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 "
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u00a0\u200b\u2028\u2014\u201cquotes\u201d",
)


# What was found of a tokenizer, by the state of its files: a run reads it twice, to plan and to open the model.
_SEEN: dict[tuple[object, ...], tuple[bool, str]] = {}


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """object: transformers' tokenizer, padding on the left. verbatim: whether it is tokenizer.json
    alone, because the class that the files name (`declared`) cuts texts otherwise. sha256: of what
    it does."""

    object: Any
    verbatim: bool
    declared: str
    sha256: str


def read(located: Located) -> Tokenizer:
    """The model's tokenizer. Raises RecipeError M606 when it cannot be read."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    options: Any = {"local_files_only": True, "trust_remote_code": False, "padding_side": "left"}
    try:
        with quiet():
            found = AutoTokenizer.from_pretrained(located.path, **options)
            declared, state = type(found).__name__, _state(located.path)
            differs, sha256 = _SEEN.get(state) or (_differs(found, located.path), "")
            if differs:
                found = PreTrainedTokenizerFast.from_pretrained(located.path, **options)
            found.chat_template = _default(found.chat_template)
    except Exception as error:  # tokenizers raises plain Exception for a damaged file
        title = f"the tokenizer of `{located.id}` cannot be read"
        note = (f"the reason given: {first_line(error)}",)
        raise RecipeError([Diagnostic("M606", title, (), note, "fetch or copy the model again")]) from error
    if not isinstance(found, PreTrainedTokenizerFast):
        title = f"the tokenizer of `{located.id}` has no fast form, which is needed to locate each token in the text"
        raise RecipeError([Diagnostic("M606", title, help="save it with a tokenizer.json")])
    _SEEN[state] = (differs, sha256 or identity(found))
    return Tokenizer(found, differs, declared, _SEEN[state][1])


def read_tokenizer(located: Located) -> Any:
    """transformers' tokenizer of a model, as `read` opens it."""
    return read(located).object


def identity(tokenizer: Any) -> str:
    """SHA-256 of what a tokenizer does: which ids a text gets and which text ids give, and the tokens
    that prompts and stops name. Not of the chat template, and not of the form of its files."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for setting in ("version", "padding", "truncation"):  # the last two are set by each call
        backend.pop(setting, None)
    template = str(tokenizer.chat_template or "")
    named = {k: str(v) for k, v in tokenizer.special_tokens_map.items() if k in ("bos_token", "eos_token")}
    named |= {k: str(v) for k, v in tokenizer.special_tokens_map.items() if k in template}
    does = {
        "backend": backend,
        "named": named,
        "whole": bool(tokenizer.split_special_tokens),
        "cleaned": _cleans(tokenizer),
    }
    return hashlib.sha256(json.dumps(does, sort_keys=True).encode()).hexdigest()


def _default(template: Any) -> str | None:
    """The template that prompts are rendered with: of several named ones the default, where there is one.
    Raises ValueError for anything but a template."""
    found = template.get("default") if isinstance(template, dict) else template
    if not isinstance(found, str | None):
        raise ValueError("its chat_template is not text")
    return found or None


def _cleans(tokenizer: Any) -> bool:
    """Whether spaces before punctuation are taken out of decoded texts."""
    ids = tokenizer("a .", add_special_tokens=False, verbose=False)["input_ids"]
    with quiet():
        return bool(tokenizer.decode(ids) != tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _state(folder: Path) -> tuple[object, ...]:
    """Names, sizes and times of a folder's small files."""
    files = sorted(f for f in folder.iterdir() if f.is_file() and f.suffix != ".safetensors")
    return (str(folder.resolve()), *((f.name, f.stat().st_size, f.stat().st_mtime_ns, f.stat().st_ino) for f in files))


def _differs(tokenizer: Any, folder: Path) -> bool:
    """Whether a tokenizer cuts some text otherwise than the folder's tokenizer.json says. transformers
    builds some classes from the vocabulary alone, with the class's own rules."""
    from tokenizers import Tokenizer as Backend

    file = folder / "tokenizer.json"
    if not file.is_file():
        return False
    own, built = Backend.from_file(str(file)), tokenizer.backend_tokenizer
    own.no_truncation()
    own.no_padding()
    texts = [*_PROBES, *_entries(own)]
    said = own.encode_batch(texts, add_special_tokens=False)
    cut = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    if any(a.ids != b for a, b in zip(said, cut, strict=True)):
        return True
    return any(own.decode(a.ids) != built.decode(a.ids) for a in said[: len(_PROBES)])


def _entries(backend: Any) -> list[str]:
    """Texts of single tokens, from all over the vocabulary, each with digits and a word behind it."""
    size = backend.get_vocab_size()
    return [f"{backend.decode([token])}7\n 10 a" for token in range(0, size, max(1, size // _SAMPLE))]


def first_line(error: Exception) -> str:
    """The start of an error's text, for a note."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
