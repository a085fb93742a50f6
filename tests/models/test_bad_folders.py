"""Model folders that say what no model says: one diagnostic each, before anything large is made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzz.harness import BYTES, SECONDS, peak
from tiny import tiny_folder

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.facts import read_facts
from steerdsl.models.prompts import Renderer
from steerdsl.models.weights import contents, known_hash, weights_files, weights_hash

WRONG: tuple[Any, ...] = (None, True, "3", 0, -1, 2.5, 10**9, 10**30, [], {}, [[1]])
SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size", "head_dim", "num_key_value_heads")
# What a config may leave open, or what this version of transformers fills in.
OPEN = (("head_dim", None), ("num_key_value_heads", None), ("vocab_size", 10**9))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("bad") / "tiny")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy whose files may be changed."""
    made = tmp_path / "model"
    made.mkdir()
    for path in whole.iterdir():
        (made / path.name).write_bytes(path.read_bytes())
    return made


def change(folder: Path, file: str, **more: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


def ended(read: Callable[[], Any]) -> str:
    """The code of the one diagnostic of reading, or `read`."""
    before = peak()
    try:
        read()
        code = "read"
    except RecipeError as error:
        (found,) = error.diagnostics
        assert found.help
        code = found.code
    assert peak() - before < BYTES / 2
    return code


def test_the_whole_one_is_read(folder: Path) -> None:
    facts = read_facts(str(folder))
    assert (facts.arch.n_layers, facts.arch.d_model) == (3, 32)
    assert Renderer(facts.tokenizer).render("Why?").text.endswith("Why?<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_sizes_of_other_types(folder: Path, key: str, value: Any) -> None:
    change(folder, "config.json", **{key: value})
    found = ended(lambda: read_facts(str(folder)))
    assert found == ("read" if (key, value) in OPEN else "M606")


@pytest.mark.parametrize(
    "more",
    [
        {"text_config": {"x": 1}},
        {"text_config": 5},
        {"model_type": 5},
        {"model_type": None},
        {"architectures": 5},
        {"architectures": [5]},
        {"rope_parameters": 5},
        {"rope_scaling": {"type": []}},
        {"hidden_act": [1]},
        {"quantization_config": 5},
        {"num_attention_heads": 7},
        {"layer_types": ["x"]},
    ],
    ids=repr,
)
def test_other_settings_of_other_types(folder: Path, more: dict[str, Any]) -> None:
    change(folder, "config.json", **more)
    assert ended(lambda: read_facts(str(folder))) in ("M606", "M641", "read")


def test_a_config_for_another_kind_of_model_is_no_model(folder: Path) -> None:
    change(folder, "config.json", text_config={"x": 1})
    assert ended(lambda: read_facts(str(folder))) in ("M606", "M641")


@pytest.mark.parametrize("text", [b"", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'{"x":"\\ud800"}'])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_files_that_are_no_description(folder: Path, file: str, text: bytes) -> None:
    (folder / file).write_bytes(text)
    assert ended(lambda: read_facts(str(folder))) == "M606"


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}", b'{"model": {"type": "BPE"}}'])
def test_a_tokenizer_that_is_none(folder: Path, text: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(text)
    assert ended(lambda: read_facts(str(folder))) == "M606"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize(
    "file", ["tokenizer_config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"]
)
def test_a_pipe_is_not_waited_for(folder: Path, file: str) -> None:
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    assert ended(lambda: read_facts(str(folder))) == "M606"


@pytest.mark.parametrize("template", [5, ["x"], [{"name": "default"}], {"a": "b"}, [{"name": 1, "template": "x"}]])
def test_a_template_that_is_no_text(folder: Path, template: Any) -> None:
    (folder / "chat_template.jinja").unlink()
    change(folder, "tokenizer_config.json", chat_template=template)
    assert ended(lambda: read_facts(str(folder))) == "M606"


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1/0 }}",
        "{{ messages[9].content }}",
        "{{ messages + 1 }}",
        "{% for x in %}",
        "{{ nothing.here.at.all }}",
        "{{ 'x' * 10**11 }}",
        "{{ range(10**9) }}",
        "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ raise_exception('no') }}",
    ],
)
def test_a_template_that_breaks(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    assert ended(lambda: Renderer(read_facts(str(folder)).tokenizer)) == "M610"


def test_a_template_that_does_not_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerdsl.models.templates._SECONDS", SECONDS / 4)
    loops = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    (folder / "chat_template.jinja").write_text(loops)
    assert ended(lambda: Renderer(read_facts(str(folder)).tokenizer)) == "M610"


def test_an_index_that_names_files_elsewhere(folder: Path) -> None:
    (folder.parent / "secret").write_text("x")
    (folder / "model.safetensors").unlink()
    for names in ({"a": "../secret"}, {"a": str(folder.parent / "secret")}, {"a": 5}, [], {"a": ".."}):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
        assert weights_files(folder) == ()


@pytest.mark.parametrize(
    "header", [b"{", b"[]", b'{"a": 5}', b'{"a": {"dtype": 5, "shape": []}}', b'{"a": {"dtype": "F32", "shape": [-1]}}']
)
def test_weights_whose_header_is_wrong(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError):
        contents(folder)


@pytest.mark.parametrize("note", ["x", "", "0" * 63, "g" * 64, "0" * 64 + "\n", "0" * 10_000_000])
def test_a_note_of_a_hash_that_is_none_is_not_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    right = weights_hash(folder)
    [kept] = (tmp_path / "cache" / "hashes").iterdir()
    kept.write_text(note)
    assert known_hash(folder) is None
    assert weights_hash(folder) == right == known_hash(folder)
