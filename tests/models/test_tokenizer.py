"""A tokenizer is what it does: read as its own file says, and told from others by nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import CHAT_TEMPLATE, tiny_folder, tiny_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.catalog import Located, locate
from steerdsl.models.facts import facts_of
from steerdsl.models.prompts import Renderer
from steerdsl.models.tokenizer import read

TEXTS = (
    "x = 10\n\n 20",
    "How does inflation change the price of bread?",
    " two  spaces, THEN 1234 caf\u00e9 cafe\u0301",
    "<|im_start|>  user\nHi</s><pad> there .",
)


def located(folder: Path) -> Located:
    return Located("tiny", folder, None, None, "folder")


def does(folder: Path) -> Any:
    """Ids of texts, texts of ids, and prompts, as this package reads them."""
    facts = facts_of(located(folder))
    tokenizer = facts.tokenizer
    assert tokenizer is not None
    ids = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in TEXTS for special in (True, False)]
    back = [tokenizer.decode(row, skip_special_tokens=skip) for row in ids for skip in (True, False)]
    every = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    return ids, back, every, [Renderer(tokenizer).render(text).ids for text in TEXTS]


def identity(folder: Path) -> Any:
    facts = facts_of(located(folder))
    return facts.tokenizer_sha256, facts.template_sha256


def whole(tmp_path: Path) -> Path:
    """The tiny tokenizer, as one tokenizer.json."""
    return tiny_folder(tmp_path / "whole")


def in_parts(tmp_path: Path) -> Path:
    """The same as OPT's form: vocab.json and merges.txt, without a tokenizer.json."""
    folder = tiny_folder(tmp_path / "parts")
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"]))
    said = {
        **{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": False},
        **{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


def edited(file: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """A change of the JSON in a file."""

    def make(folder: Path) -> None:
        said = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(change(said)))

    return make


def setting(name: str, value: Any) -> Callable[[Path], None]:
    return edited("tokenizer_config.json", lambda said: {**said, name: value})


def swapped(said: dict[str, Any]) -> dict[str, Any]:
    """Two tokens of a vocabulary change places."""
    vocab = said.get("model", said).get("vocab", said)
    first, second = "a", "e"
    vocab[first], vocab[second] = vocab[second], vocab[first]
    return said


def without_digits(said: dict[str, Any]) -> dict[str, Any]:
    rule = {"type": "Digits", "individual_digits": True}
    said["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [rule, said["pre_tokenizer"]]}
    said["model"]["merges"] += [["1", "2"]]
    said["model"]["vocab"]["12"] = len(said["model"]["vocab"])
    return said


def flipped(name: str) -> Callable[[Any], Any]:
    def change(said: dict[str, Any]) -> dict[str, Any]:
        for token in said["added_tokens"]:
            if token["content"] == "<|im_start|>":
                token[name] = not token[name]
        return said

    return change


def text(file: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / file).write_text(change((folder / file).read_text()))

    return make


def reordered(said: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(said.items()))


WHOLE: dict[str, Callable[[Path], None]] = {
    "another vocabulary": edited("tokenizer.json", swapped),
    "a merge less": edited(
        "tokenizer.json", lambda s: {**s, "model": {**s["model"], "merges": s["model"]["merges"][:-9]}}
    ),
    "digits apart": edited("tokenizer.json", without_digits),
    "lower case": edited("tokenizer.json", lambda s: {**s, "normalizer": {"type": "Lowercase"}}),
    "no normal form": edited("tokenizer.json", lambda s: {**s, "normalizer": {"type": "NFC"}}),
    "no first token": edited("tokenizer.json", lambda s: {**s, "post_processor": None}),
    "one special token less": edited("tokenizer.json", flipped("special")),
    "white space taken": edited("tokenizer.json", flipped("rstrip")),
    "truncation": edited(
        "tokenizer.json",
        lambda s: {
            **s,
            "truncation": {"max_length": 5, "direction": "Right", "strategy": "LongestFirst", "stride": 0},
        },
    ),
    "keys in another order": edited("tokenizer.json", reordered),
    "white space in the file": text("tokenizer.json", lambda s: json.dumps(json.loads(s), indent=7)),
    "another version": edited("tokenizer.json", lambda s: {**s, "version": "1.0"}),
    "bos": setting("bos_token", "</s>"),
    "bos added": setting("add_bos_token", True),
    "bos not added": setting("add_bos_token", False),
    "eos added": setting("add_eos_token", True),
    "length": setting("model_max_length", 7),
    "side": setting("padding_side", "right"),
    "cleaned": setting("clean_up_tokenization_spaces", True),
    "cleaned indeed": edited(
        "tokenizer_config.json",
        lambda s: {
            **s,
            "clean_up_tokenization_spaces": True,
            "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True,
        },
    ),
    "specials split": setting("split_special_tokens", True),
    "a new token": setting("extra_special_tokens", ["<|new|>"]),
    "a note": setting("note", "hello"),
    "another class": setting("tokenizer_class", "PreTrainedTokenizerFast"),
    "GPT-2's class": setting("tokenizer_class", "GPT2Tokenizer"),
    "another template": text("chat_template.jinja", lambda s: s.replace("Be helpful.", "Be brief.")),
}
PARTS: dict[str, Callable[[Path], None]] = {
    "another vocabulary": edited("vocab.json", swapped),
    "a merge less": text("merges.txt", lambda s: "\n".join(s.splitlines()[:-9])),
    "the first line of merges": text("merges.txt", lambda s: s.replace("0.2", "0.3")),
    "keys in another order": edited("vocab.json", reordered),
    "bos not added": setting("add_bos_token", False),
    "bos": setting("bos_token", "<|im_start|>"),
    "prefix": setting("add_prefix_space", True),
    "length": setting("model_max_length", 7),
    "specials split": setting("split_special_tokens", True),
    "another template": text("chat_template.jinja", lambda s: s.replace("Be helpful.", "Be brief.")),
}


@pytest.mark.parametrize(
    ("make", "change"),
    [*((whole, c) for c in WHOLE.values()), *((in_parts, c) for c in PARTS.values())],
    ids=[*(f"whole: {name}" for name in WHOLE), *(f"parts: {name}" for name in PARTS)],
)
def test_the_identity_changes_where_the_tokenizer_does(
    make: Callable[[Path], Path], change: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = make(tmp_path)
    before = does(folder), identity(folder)
    change(folder)
    after = does(folder), identity(folder)
    assert (before[0] == after[0]) == (before[1] == after[1])


def test_these_changes_are_of_both_kinds(tmp_path: Path) -> None:
    kept = {
        "keys in another order",
        "white space in the file",
        "length",
        "side",
        "a note",
        "truncation",
        "another version",
    }
    for number, (name, change) in enumerate(WHOLE.items()):
        (tmp_path / str(number)).mkdir()
        folder = whole(tmp_path / str(number))
        before = identity(folder)
        change(folder)
        if name in kept:
            assert identity(folder) == before, name
    assert kept < set(WHOLE)


# ---- tokenizer.json and the class that another file names ---------------------------------------


def smol(folder: Path, declared: str) -> Tokenizer:
    """Give a folder SmolLM2's rule (digits one by one, before anything else) and a class."""
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    said = json.loads((folder / "tokenizer.json").read_text())["model"]
    merges, vocab = [tuple(m) for m in said["merges"]], dict(said["vocab"])
    for pair in (("1", "0"), ("2", "0"), ("\u010a", "\u010a"), ("\u010a\u010a", "\u0120")):
        merges.append(pair)
        vocab.setdefault("".join(pair), len(vocab))
    raw.model = models.BPE(vocab, merges)
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    raw.save(str(folder / "tokenizer.json"))
    setting("tokenizer_class", declared)(folder)
    return raw


@pytest.mark.parametrize("declared", ["GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizerFast", "GPT2TokenizerFast"])
def test_texts_are_cut_as_tokenizer_json_says(declared: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", vocab_size=330)
    raw = smol(folder, declared)
    found = read(located(folder))
    for text_ in TEXTS:
        assert (
            found.object(text_, add_special_tokens=False)["input_ids"]
            == raw.encode(text_, add_special_tokens=False).ids
        )
    assert found.verbatim and found.declared in ("GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer")
    assert found.object.chat_template == CHAT_TEMPLATE
    assert (found.object.bos_token, found.object.eos_token, found.object.padding_side) == ("<s>", "</s>", "left")


@pytest.mark.parametrize("declared", ["PreTrainedTokenizerFast", "LlamaTokenizerFast"])
def test_a_class_that_reads_tokenizer_json_is_kept(declared: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", vocab_size=330)
    smol(folder, declared)
    assert not read(located(folder)).verbatim


# ---- raw text -----------------------------------------------------------------------------------


@pytest.mark.parametrize("processor", ["$A </s>", "<s> $A </s>", "<s> $A </s> </s>", "$A"])
@pytest.mark.parametrize("prompt", ["Hi", "Bye</s>", ""])
def test_the_last_token_of_raw_text_is_the_texts_own(processor: str, prompt: str) -> None:
    """Some tokenizers put their end token behind every text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer(None)
    plain = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=processor, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    first: Sequence[int] = [1] if processor.startswith("<s>") else []
    for template in ("none", "newline"):
        rendered = Renderer(tokenizer, template=template).render(prompt)
        own = plain if template == "none" else tokenizer(prompt + "\n", add_special_tokens=False)["input_ids"]
        assert list(rendered.ids) == [*first, *own]
        assert tokenizer.decode(rendered.ids[slice(*rendered.content)]) == prompt
    renderer = Renderer(tokenizer, template="none")
    answer = "B" if prompt.endswith(" ") else " B"
    found = renderer.follow(prompt, renderer.render(prompt).ids, answer)
    assert list(found) == tokenizer(answer, add_special_tokens=False)["input_ids"]


def test_a_folder_is_the_same_model_wherever_it_lies(tmp_path: Path) -> None:
    one, other = whole(tmp_path), tiny_folder(tmp_path / "other")
    assert identity(one) == identity(other)
    assert locate(str(one)).weights_sha256 == locate(str(other)).weights_sha256


# ---- the chat template --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (CHAT_TEMPLATE, CHAT_TEMPLATE),
        ([{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}], "a"),
        ([{"name": "tool_use", "template": "b"}], None),
        ("", None),
    ],
)
def test_the_template_of_several(said: Any, expected: str | None, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", template=None)
    setting("chat_template", said)(folder)
    assert facts_of(located(folder)).template == expected


@pytest.mark.parametrize("said", [5, True, [{"name": "default", "template": 5}], {"default": []}])
def test_a_template_that_is_no_text(said: Any, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", template=None)
    setting("chat_template", said)(folder)
    with pytest.raises(RecipeError) as error:
        facts_of(located(folder))
    assert error.value.diagnostics[0].code == "M606"
