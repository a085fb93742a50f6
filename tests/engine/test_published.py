"""Weights as they are published, adapters on them, and models on more than one device: steered tokens and
activations against plain hooks on a second copy, which transformers and PEFT open by themselves."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from conftest import TEXTS
from hooks import left_padded
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import tiny, tiny_folder
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TorchAoConfig
from world import World

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models import spread
from steerdsl.models.adapters import AdapterPlace
from steerdsl.models.catalog import locate
from steerdsl.models.opened import Opened, open_model

TOKENS = 8
LINES = (
    "ablate v everywhere",
    "add v by 2 at layers 0,1",
    "rotate p by 210deg at layer 1",
    "clamp v to 3 at layer 2 during generation",
)
FLOATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _settings(name: str, dtype: torch.dtype) -> Any:
    """transformers' settings, written here once more from its documentation."""
    from torchao import quantization as ao

    return {
        "int8": lambda: TorchAoConfig(ao.Int8WeightOnlyConfig()),
        "int4": lambda: TorchAoConfig(ao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=ao.PerGroup(32))),
        "fp8": lambda: TorchAoConfig(ao.Float8WeightOnlyConfig()),
        "bnb_8bit": lambda: BitsAndBytesConfig(load_in_8bit=True),
        "bnb_4bit": lambda: BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        ),
    }[name]()


QUANTISED = ("int8", "int4", "fp8", "bnb_8bit", "bnb_4bit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("published") / "llama", hidden_size=64, intermediate_size=128)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("bitsandbytes")
    before = logger.level
    yield
    logger.setLevel(before)


def adapted(folder: Path, place: Path, **settings: Any) -> Path:
    """An adapter with random weights, as PEFT saves one."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    given = {"r": 4, "target_modules": ["q_proj", "v_proj", "o_proj", "down_proj"], **settings}
    made = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_alpha=8, **given))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for name, parameter in made.named_parameters():
            if "lora_" in name and parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    made.save_pretrained(place)
    return place


def same(world: World, line: str) -> None:
    wanted = world.hooks_tokens(line, TOKENS)
    assert world.engine_tokens(line, TOKENS, batch_size=len(TEXTS)) == wanted
    assert wanted != world.unsteered(TOKENS)
    ids, mask = left_padded(world.ids)
    where = [("resid_post", layer) for layer in range(world.n_layers)]
    read, _ = world.steered(line).read(ids, mask, where)
    got = world.captured(ids, mask, where, world.touches(line))
    torch.testing.assert_close(got, torch.stack([h[mask] for h in read]).double(), atol=1e-4, rtol=1e-4)


# ---- quantised on loading -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def quantised(folder: Path) -> Callable[[str], World]:
    worlds: dict[str, World] = {}

    def make(name: str) -> World:
        if name not in worlds:
            opened = open_model(locate(str(folder), quantization=name), dtype="float32", device="cpu")
            settings = _settings(name, torch.float32)
            other = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, quantization_config=settings, device_map={"": "cpu"}
            )
            worlds[name] = World(opened, other.eval(), "llama", TEXTS)
        return worlds[name]

    return make


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", QUANTISED)
def test_a_quantised_model_equals_hooks_on_the_same(quantised: Callable[[str], World], name: str, line: str) -> None:
    same(quantised(name), line)


@pytest.mark.parametrize("name", QUANTISED)
def test_the_weights_are_quantised_and_the_record_says_so(quantised: Callable[[str], World], name: str) -> None:
    world = quantised(name)
    assert world.opened.info.quantization is not None and world.opened.info.quantization.startswith(
        f"{name} on loading"
    )
    plain = tiny(hidden_size=64, intermediate_size=128)
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        both = torch.stack([m(ids).logits.flatten() for m in (world.opened.model, plain)])
    assert not torch.equal(*both)
    assert float(torch.corrcoef(both)[0, 1]) > (0.7 if "4" in name else 0.95)
    assert world.opened.info.weights_sha256 == locate(world.opened.info.path).weights_sha256


# ---- adapters -----------------------------------------------------------------------------------

ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"use_dora": True},
    "rslora on the MLP": {"use_rslora": True, "target_modules": ["gate_proj", "down_proj"]},
    "one layer": {"layers_to_transform": [1]},
    "with a head": {"modules_to_save": ["lm_head"]},
}


@pytest.fixture(scope="module")
def with_adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    worlds: dict[tuple[str, str], World] = {}

    def make(kind: str, dtype: str = "float32") -> World:
        if (kind, dtype) not in worlds:
            place = adapted(folder, tmp_path_factory.mktemp("adapter") / "saved", **ADAPTERS[kind])
            located = locate(str(folder), adapter=AdapterPlace(str(place)))
            opened = open_model(located, dtype=dtype, device="cpu")
            base = AutoModelForCausalLM.from_pretrained(folder, dtype=FLOATS[dtype])
            other = PeftModel.from_pretrained(base, place).get_base_model().eval()
            worlds[kind, dtype] = World(opened, other, "llama", TEXTS)
        return worlds[kind, dtype]

    return make


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapted_model_equals_hooks_on_the_same(with_adapter: Callable[..., World], kind: str, line: str) -> None:
    same(with_adapter(kind), line)


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_an_adapter_acts_as_peft_has_it(
    with_adapter: Callable[..., World], kind: str, dtype: str, folder: Path
) -> None:
    """Against PEFT's own arithmetic by merging, which is another way to the same sum."""
    world = with_adapter(kind, dtype)
    info = world.opened.info
    assert info.adapter is not None and info.adapter_sha256 is not None and info.dtype == dtype
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, info.adapter).merge_and_unload().eval()
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        got, wanted, own = (m(ids).logits.float() for m in (world.opened.model, merged, plain))
    near = {"float32": 1e-4, "bfloat16": 0.1}[dtype]
    assert (got - wanted).abs().max() < near * wanted.abs().max()
    if kind != "with a head":
        assert (got - own).abs().max() > 0.05


def test_an_adapter_on_quantised_weights(folder: Path, tmp_path: Path) -> None:
    place = adapted(folder, tmp_path / "saved")
    located = locate(str(folder), adapter=AdapterPlace(str(place)), quantization="bnb_4bit")
    opened = open_model(located, dtype="float32", device="cpu")
    base = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=_settings("bnb_4bit", torch.float32), device_map={"": "cpu"}
    )
    other = PeftModel.from_pretrained(base, place).get_base_model().eval()
    same(World(opened, other, "llama", TEXTS), LINES[0])


# ---- more than one device -----------------------------------------------------------------------


def _to_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Blocks 1 and 2 on the disk, by a map as accelerate takes it."""
    parts = ("model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "lm_head")
    given = {**dict.fromkeys(parts, "cpu"), "model.layers.1": "disk", "model.layers.2": "disk"}
    placed = spread.with_folder(spread.Placement({"device_map": given, "max_memory": {}}))
    placed.options.pop("max_memory")
    monkeypatch.setattr("steerdsl.models.opened.placement", lambda *a, **k: placed)
    monkeypatch.setattr("steerdsl.models.opened.with_folder", lambda found: found)
    return open_model(locate(str(folder)), dtype="float32", device="cpu")


def _short_of_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """As a user meets it: memory for the embeddings and one block at a time, and `--device auto`."""
    monkeypatch.setattr("steerdsl.models.memory._available", lambda: 500_000)
    return open_model(locate(str(folder)), dtype="float32", device="cpu")


def _to_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Blocks 1 and 2 kept in memory, and brought to the device where they run for each pass."""
    opened = open_model(locate(str(folder)), dtype="float32", device="cpu")
    for block in opened.model.model.layers[1:]:
        cpu_offload(block, torch.device("cpu"))
    assert {str(p.device) for p in opened.model.parameters()} == {"cpu", "meta"}
    return opened


def _split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A plain split: each part sends what it gives to the next one's device."""
    opened = open_model(locate(str(folder)), dtype="float32", device="cpu")
    parts = ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head")
    given = dict.fromkeys((*parts, *(f"model.layers.{i}" for i in range(3))), "cpu")
    return replace(opened, model=dispatch_model(opened.model, given, main_device="cpu", force_hooks=True))


SPREAD = {"disk": _to_disk, "short of memory": _short_of_memory, "memory": _to_memory, "split": _split}
CONDITIONED = "ablate v at layer 2 when proj(u[0%]) > {proj(u[0%])} at layer 0"


@pytest.mark.parametrize("line", (*LINES, "ablate u at layers 0..2 on attn_out, mlp_out", CONDITIONED))
@pytest.mark.parametrize("way", SPREAD)
def test_a_model_that_is_spread_equals_hooks_on_a_whole_one(
    way: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    opened = SPREAD[way](folder, monkeypatch)
    world = World(opened, tiny(hidden_size=64, intermediate_size=128), "llama", TEXTS)
    if line == CONDITIONED:
        wanted = world.hooks_tokens(line, TOKENS)
        assert world.engine_tokens(line, TOKENS, batch_size=len(TEXTS)) == wanted
    else:
        same(world, line)
    assert opened.info.device == ("cpu+disk" if way in ("disk", "short of memory") else "cpu")


@pytest.mark.parametrize("way", SPREAD)
def test_statistics_of_a_model_that_is_spread(
    way: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Extraction and likelihoods, and nothing left on the disk."""
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    opened = SPREAD[way](folder, monkeypatch)
    world = World(opened, tiny(hidden_size=64, intermediate_size=128), "llama", TEXTS)
    touches = world.touches(LINES[0])
    got = world.logits(touches, 2)
    steered = world.steered(LINES[0])
    for row, (prompt, answered) in enumerate(zip(world.ids, world.answered, strict=True)):
        wanted = steered.forced(prompt, answered.ids[len(prompt) :])
        torch.testing.assert_close(got[row], wanted[: len(got[row])], atol=1e-4, rtol=1e-4)
    del opened, world
    monkeypatch.undo()  # one way to spread keeps its folder in what it put there
    gc.collect()
    kept = tmp_path / "cache" / "offloaded"
    assert not kept.exists() or not list(kept.iterdir())


# ---- quantised in the files ---------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES[:2])
@pytest.mark.parametrize("name", QUANTISED)
def test_a_checkpoint_with_quantised_weights_opens_as_it_is(name: str, line: str, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / name
    shutil.copytree(folder, place)
    (place / "model.safetensors").unlink()
    settings = _settings(name, torch.float32)
    saved = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=settings, device_map={"": "cpu"}
    )
    saved.save_pretrained(place)
    opened = open_model(locate(str(place)), dtype="float32", device="cpu")
    method = "bitsandbytes" if name.startswith("bnb") else "torchao"
    assert opened.info.quantization == f"{method}, in the model's files"
    same(World(opened, saved.eval(), "llama", TEXTS), line)


def test_fp8_in_blocks_is_read_where_transformers_can(folder: Path, tmp_path: Path) -> None:
    """As DeepSeek and Qwen publish them: on a processor, transformers takes them apart."""
    place, block = tmp_path / "fp8", 32
    shutil.copytree(folder, place)
    exact: dict[str, torch.Tensor] = {}
    kept: dict[str, torch.Tensor] = {}
    for name, w in load_file(folder / "model.safetensors").items():
        kept[name] = exact[name] = w
        if "proj" in name:
            blocks = w.reshape(w.shape[0] // block, block, w.shape[1] // block, block)
            scale = blocks.abs().amax((1, 3)) / 448
            small = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
            kept[name], kept[f"{name}_scale_inv"] = small.reshape(w.shape), scale
            exact[name] = (small.float() * scale[:, None, :, None]).reshape(w.shape)
    save_file(kept, place / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((place / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [block, block]}
    (place / "config.json").write_text(json.dumps(config))
    opened = open_model(locate(str(place)), dtype="float32", device="cpu")
    other = tiny(hidden_size=64, intermediate_size=128)
    other.load_state_dict(exact, strict=False)
    same(World(opened, other, "llama", TEXTS), LINES[0])


def test_a_quantisation_that_nobody_knows(folder: Path, tmp_path: Path) -> None:
    """transformers would open the weights as if there were none."""
    place = tmp_path / "odd"
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "nonsense"}}))
    assert refused(lambda: open_model(locate(str(place)), dtype="float32", device="cpu"), 3) == (
        f"error[M619]: the weights of `{place}` are quantised (nonsense) and cannot be opened here\n"
        "note: the reason given: transformers knows no quantisation `nonsense`\n"
        "help: take the model's weights without quantisation\n"
    )


# ---- what cannot be -----------------------------------------------------------------------------


def refused(act: Callable[[], object], exit_code: int) -> str:
    with pytest.raises(RecipeError) as error:
        act()
    assert error.value.exit_code == exit_code
    return "".join(render(d) for d in error.value.diagnostics)


@pytest.mark.parametrize(("name", "package"), [("int8", "torchao"), ("bnb_4bit", "bitsandbytes")])
def test_a_missing_package_is_named(name: str, package: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(asked: str) -> str:
        raise metadata.PackageNotFoundError(asked)

    located = locate(str(folder), quantization=name)
    monkeypatch.setattr("steerdsl.models.quantization.metadata.version", none)
    assert refused(lambda: open_model(located, device="cpu"), 3) == (
        f"error[M664]: `{folder}` cannot be quantised as `{name}` here: the package {package} is not installed\n"
        f"help: run `pip install {package}`, or leave it out\n"
    )


def test_peft_that_is_missing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = adapted(folder, tmp_path / "saved")
    located = locate(str(folder), adapter=AdapterPlace(str(place)))
    monkeypatch.setitem(sys.modules, "peft", None)
    assert refused(lambda: open_model(located, device="cpu"), 3) == (
        f"error[M663]: the adapter `{place}` needs the package peft\nhelp: run `pip install peft`\n"
    )


def test_a_model_of_which_nothing_can_be_quantised(tmp_path: Path) -> None:
    """GPT-2's maps are of a class of their own, which torchao leaves as it is."""
    place = tiny_folder(tmp_path / "gpt2", "gpt2")
    located = locate(str(place), quantization="int8")
    assert refused(lambda: open_model(located, device="cpu"), 3) == (
        f"error[M664]: `{place}` cannot be quantised as `int8` here: none of its weights is of a kind that this "
        "quantises\nhelp: take another one, or leave it out\n"
    )


@pytest.mark.parametrize("name", QUANTISED)
def test_files_that_are_quantised_already(name: str, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "gptq"
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(
        json.dumps({**config, "quantization_config": {"quant_method": "gptq", "bits": 4}})
    )
    located = locate(str(place), quantization=name)
    assert refused(lambda: open_model(located, device="cpu"), 3) == (
        f"error[M664]: `{place}` cannot be quantised as `{name}` here: its files are quantised already (gptq)\n"
        "help: leave it out\n"
    )


def _change(place: Path, **settings: Any) -> None:
    file = place / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.mark.parametrize(
    "kind", ["no weights", "no json", "a pickle", "virtual tokens", "repeated layers", "no header"]
)
def test_what_is_not_an_adapter(kind: str, folder: Path, tmp_path: Path) -> None:
    place = adapted(folder, tmp_path / "saved")
    weights = place / "adapter_model.safetensors"
    match kind:
        case "no weights":
            weights.unlink()
        case "a pickle":
            weights.rename(place / "adapter_model.bin")
        case "no json":
            (place / "adapter_config.json").write_text("{")
        case "virtual tokens":
            (place / "adapter_config.json").write_text(
                json.dumps({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4})
            )
        case "repeated layers":
            _change(place, layer_replication=[[0, 2], [1, 3]])
        case "no header":
            weights.write_bytes(b"x" * 50)

    def act() -> object:
        return open_model(locate(str(folder), adapter=AdapterPlace(str(place))), device="cpu")

    said = refused(act, 1)
    assert said.startswith(f"error[M662]: `{place}` cannot be used as an adapter: ") and said.count("\n") == 2
    assert said.endswith(
        "help: give a folder or a hub id that holds adapter_config.json and adapter_model.safetensors, "
        "as PEFT saves them\n"
    )


@pytest.mark.parametrize("kind", ["another width", "another family", "a tensor less", "a tensor more"])
def test_an_adapter_that_does_not_fit(kind: str, folder: Path, tmp_path: Path) -> None:
    place, base = adapted(folder, tmp_path / "saved"), folder
    held = load_file(place / "adapter_model.safetensors")
    match kind:
        case "another width":
            base = tiny_folder(tmp_path / "narrow")
        case "another family":
            base = tiny_folder(tmp_path / "gpt2", "gpt2")
        case "a tensor less":
            held.pop(min(held))
        case "a tensor more":
            held["base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"] = torch.ones(4, 64)
    save_file(held, place / "adapter_model.safetensors", metadata={"format": "pt"})
    located = locate(str(base), adapter=AdapterPlace(str(place)))
    said = refused(lambda: open_model(located, device="cpu"), 3)
    assert said.startswith(f"error[M663]: the adapter `{place}` does not fit `{base}`\nnote: the reason given: ")
    assert f"note: its settings say that it was trained on {folder}\n" in said
    assert said.endswith("help: give the model that it was trained on\n")
