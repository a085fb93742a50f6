"""The model that runs is the one whose files were hashed: nothing left out, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CASES, tiny, tiny_folder

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models.catalog import locate
from steerdsl.models.facts import read_facts
from steerdsl.models.opened import Opened, open_model
from steerdsl.models.weights import weights_files, weights_hash


def opened(folder: Path) -> Opened:
    return open_model(locate(str(folder)), device="cpu", dtype="float32")


def refused(folder: Path) -> str:
    with pytest.raises(RecipeError) as error:
        opened(folder)
    return "".join(render(d) for d in error.value.diagnostics).replace(str(folder), "tiny")


def with_tensors(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    held = load_file(folder / "model.safetensors")
    save_file({**held, **tensors}, folder / "model.safetensors", metadata={"format": "pt"})


def with_settings(folder: Path, **settings: Any) -> None:
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **settings}))


BLOCKS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "opt": "model.decoder.layers"}
ATTENTION = {"gpt2": "attn", "gpt_neox": "attention"}


def block(case: str, number: int) -> str:
    family = CASES[case][0]
    own = "model.language_model.layers" if case == "gemma3" else "model.layers"
    return f"{BLOCKS.get(family, own)}.{number}"


def extra(case: str, kind: str) -> dict[str, torch.Tensor]:
    """Tensors for which the tiny model of a case has no place."""
    attention = ATTENTION.get(CASES[case][0], "self_attn")
    if kind == "a bias":
        return {f"{block(case, 0)}.{attention}.bias": torch.ones(32)}
    if kind == "biases":
        return {f"{block(case, i)}.{attention}.r_proj.bias": torch.ones(32) for i in (0, 1)}
    if kind == "a norm":
        return {f"{block(case, 1)}.{attention}.r_norm.weight": torch.ones(8)}
    return {f"{block(case, 3)}.{attention}.q_proj.weight": torch.ones(32, 32)}


@pytest.mark.parametrize("kind", ["a bias", "biases", "a norm", "a block"])
@pytest.mark.parametrize("case", CASES)
def test_tensors_without_a_place_are_refused(case: str, kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", case)
    tensors = extra(case, kind)
    with_tensors(folder, tensors)
    more, what = (" and 1 more", "2 tensors") if kind == "biases" else ("", "a tensor")
    assert refused(folder) == (
        f"error[M617]: the weights of `tiny` hold {what} that the model of its config.json has no place for\n"
        f"note: left out would be {min(tensors)}{more}\n"
        "note: without them it is another model than the one that was trained\n"
        "help: correct config.json (the number of layers, biases, the model type), or save the weights without them\n"
    )


def test_a_config_with_fewer_blocks_than_the_weights(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    with_settings(folder, num_hidden_layers=2)
    assert refused(folder).startswith("error[M617]: the weights of `tiny` hold 9 tensors that")


def test_the_biases_of_the_config_are_used(tmp_path: Path) -> None:
    """The way out: the same files with a config that says what they hold."""
    folder = tiny_folder(tmp_path / "tiny", "qwen2")
    tensors = load_file(folder / "model.safetensors")
    assert "model.layers.0.self_attn.q_proj.bias" in tensors
    with_settings(folder, model_type="llama", architectures=["LlamaForCausalLM"], attention_bias=False)
    assert "M617" in refused(folder)
    with_settings(folder, model_type="qwen2", architectures=["Qwen2ForCausalLM"])
    assert opened(folder).info.family == "qwen2"


@pytest.mark.parametrize(
    ("case", "name", "tensor"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
        ("llama", "model.rotary_emb.inv_freq", torch.ones(4)),
        ("gpt_neox", "gpt_neox.layers.0.attention.rotary_emb.inv_freq", torch.ones(4)),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", torch.ones(1, 1, 8, 8, dtype=torch.bool)),
        ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias", torch.tensor(-1e9)),
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 8, 8)),
        ("gpt2", "h.0.attn.bias", torch.ones(1, 1, 8, 8)),
        ("gpt2", "transformer.h.0.attn.masked_bias", torch.tensor(-1e4)),
    ],
)
def test_what_a_model_computes_for_itself_may_be_there(
    case: str, name: str, tensor: torch.Tensor, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "tiny", case)
    with_tensors(folder, {name: tensor})
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        assert torch.equal(opened(folder).model(ids).logits, tiny(case)(ids).logits)


@pytest.mark.parametrize("same", [True, False])
def test_a_head_beside_tied_embeddings_is_the_one_that_is_used(same: bool, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    embeddings = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    head = embeddings.clone() if same else torch.randn(320, 32, generator=torch.Generator().manual_seed(0))
    with_tensors(folder, {"lm_head.weight": head})
    assert torch.equal(opened(folder).model.lm_head.weight, head)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("intermediate_size", 48), ("vocab_size", 310), ("hidden_size", 16), ("num_key_value_heads", 4)],
)
def test_tensors_of_another_shape_are_refused(setting: str, value: int, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    with_settings(folder, **{setting: value})
    said = refused(folder)
    assert said.startswith("error[M606]: the weights of `tiny` cannot be loaded\n")
    assert " in the files and " in said and " by config.json" in said


# ---- which files are the weights ----------------------------------------------------------------


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = tiny_folder(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    tiny().save_pretrained(folder, max_shard_size="60KB")
    return folder


def renamed(folder: Path, name: str, to: str) -> None:
    index = folder / "model.safetensors.index.json"
    said = json.loads(index.read_text())
    said["weight_map"] = {k: to if v == name else v for k, v in said["weight_map"].items()}
    index.write_text(json.dumps(said))


@pytest.mark.parametrize("form", ["../outside.safetensors", "sub/../../outside.safetensors", "absolute", "..\\x"])
def test_an_index_that_names_a_file_outside_the_folder(form: str, sharded: Path) -> None:
    name = sorted(f.name for f in sharded.glob("*.safetensors"))[0]
    outside = sharded.parent / "outside.safetensors"
    shutil.move(sharded / name, outside)
    renamed(sharded, name, str(outside) if form == "absolute" else form)
    assert weights_files(sharded) == () and weights_hash(sharded) is None
    with pytest.raises(RecipeError) as error:
        locate(str(sharded))
    assert error.value.diagnostics[0].code == "M606"


def test_parts_in_a_folder_below_and_behind_links_are_the_folders_own(sharded: Path) -> None:
    """As in the hub's cache, whose snapshots are links."""
    first, second, *_ = sorted(f.name for f in sharded.glob("*.safetensors"))
    (sharded / "sub").mkdir()
    shutil.move(sharded / first, sharded / "sub" / first)
    renamed(sharded, first, f"sub/{first}")
    shutil.move(sharded / second, sharded.parent / "blob")
    (sharded / second).symlink_to(sharded.parent / "blob")
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        assert torch.equal(opened(sharded).model(ids).logits, tiny()(ids).logits)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 5}}', '{"weight_map": []}'])
def test_an_index_that_is_none(index: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(index)
    assert weights_files(sharded) == ()


def test_with_one_file_and_an_index_the_one_file_is_loaded_and_hashed(sharded: Path) -> None:
    other = tiny(seed=1)
    other.save_pretrained(sharded)
    if not (sharded / "model.safetensors").exists():
        pytest.fail("the model is saved in one file")
    tiny().save_pretrained(sharded.parent / "parts", max_shard_size="60KB")
    for file in (sharded.parent / "parts").glob("model*"):
        shutil.copy(file, sharded)
    ids = torch.tensor([[1, 50, 60, 70]])
    found = opened(sharded)
    with torch.no_grad():
        assert torch.equal(found.model(ids).logits, other(ids).logits)
    assert found.info.weights_sha256 == hashlib.sha256((sharded / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("file", ["adapter_config.json", "config.json"])
def test_weights_that_nobody_sees_are_refused(file: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    if file == "config.json":
        with_settings(folder, transformers_weights="other.safetensors")
        reason = "has a config.json that names another file of weights (`transformers_weights`)"
        way_out = "remove that setting"
    else:
        (folder / file).write_text("{}")
        reason = "holds adapter_config.json, with weights that would change the model's"
        way_out = "merge the adapter into the weights, or remove it"
    expected = f"error[M618]: the folder of `tiny` {reason}\nhelp: {way_out}\n"
    assert refused(folder) == expected
    with pytest.raises(RecipeError) as error:
        read_facts(str(folder))
    assert error.value.diagnostics[0].code == "M618"


# ---- quantised weights --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "settings", "package"),
    [
        ("gptq", {"bits": 4}, "gptqmodel optimum"),
        ("awq", {"bits": 4}, "gptqmodel"),
        ("compressed-tensors", {}, "compressed-tensors"),
        ("aqlm", {}, "aqlm"),
        ("hqq", {}, "hqq"),
    ],
)
def test_a_quantisation_whose_package_is_missing(
    method: str, settings: dict[str, Any], package: str, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    with_settings(folder, quantization_config={"quant_method": method, **settings})
    text = refused(folder)
    assert text.startswith(f"error[M619]: the weights of `tiny` are quantised ({method}) and cannot be opened here\n")
    assert "take the model's weights without quantisation\n" in text
    print(text)
    assert f"help: run `pip install {package}`, or take" in text
