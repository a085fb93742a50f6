"""Opening local model folders: what the record says, devices and dtypes, and files that are no good."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CHAT_TEMPLATE, EOS, tiny, tiny_folder
from transformers import LlamaConfig, LlamaForSequenceClassification

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models import cache, catalog, device, memory, spread, weights
from steerdsl.models.catalog import locate
from steerdsl.models.facts import read_facts
from steerdsl.models.opened import open_model
from steerdsl.models.sites import STREAMS
from steerdsl.models.tokenizer import identity

IDS = torch.tensor([[1, 50, 60, 70]])


@pytest.fixture
def folder(own_caches: Path) -> Path:
    return tiny_folder(own_caches / "tiny-llama")


def refusal(act: Callable[[], object], exit_code: int) -> str:
    with pytest.raises(RecipeError) as error:
        act()
    assert error.value.exit_code == exit_code
    return "".join(render(d) for d in error.value.diagnostics)


def test_a_local_folder_opens_as_it_was_saved(folder: Path) -> None:
    loaded = open_model(locate(str(folder)), dtype="float32", device="cpu")
    with torch.no_grad():
        assert torch.equal(loaded.model(IDS).logits, tiny("llama")(IDS).logits)
    assert not loaded.model.training
    info = loaded.info
    assert (info.id, info.path, info.source, info.revision) == (str(folder), str(folder), "folder", None)
    assert (info.dtype, info.device, info.family, info.n_layers) == ("float32", "cpu", "llama", 3)
    assert (info.d_model, info.n_heads, info.d_head, info.vocab, info.max_positions) == (32, 4, 8, 320, 256)
    assert info.has_template and info.template_sha256 == hashlib.sha256(CHAT_TEMPLATE.encode()).hexdigest()
    assert info.tokenizer_sha256 == identity(loaded.tokenizer) and not info.verbatim_tokenizer
    assert info.stop_ids == (EOS, 4)  # and with which the template ends a turn
    assert info.weights_sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert loaded.tokenizer.padding_side == "left"


def test_a_model_without_a_template(own_caches: Path) -> None:
    located = locate(str(tiny_folder(own_caches / "gpt2", "gpt2", template=None)))
    info = open_model(located, device="cpu").info
    assert (info.has_template, info.template_sha256, info.family, info.max_positions) == (False, None, "gpt2", 256)


def test_a_folder_is_taken_from_the_recipes_own_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate("./tiny-llama", base=folder.parent).path == folder
    assert locate("tiny-llama", base=folder.parent).path == folder
    facts = read_facts("tiny-llama", base=folder.parent, offline=True)
    assert (facts.arch.n_layers, facts.arch.streams, facts.template) == (3, STREAMS, CHAT_TEMPLATE)


def test_a_recipe_reads_models_only_where_it_may(folder: Path, own_caches: Path) -> None:
    recipes, link = own_caches / "recipes", own_caches / "recipes" / "link"
    recipes.mkdir()
    link.symlink_to(folder)
    for name in ("../tiny-llama", str(folder), "./link"):
        for look in (locate, read_facts):
            assert refusal(lambda name=name, look=look: look(name, base=recipes, within=(recipes,)), 1) == (
                f"error[M615]: the model folder `{name}` is outside the recipe's folder\n"
                "help: allow its folder with --allow, or give the model with --model\n"
            )
        assert locate(name, base=recipes, within=(recipes, folder)).complete
        assert locate(name, base=recipes).complete
    assert locate("./tiny-llama", base=own_caches, within=(own_caches,)).complete


def test_nothing_reaches_the_terminal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_model(locate(str(folder)))
    assert capfd.readouterr() == ("", "")


def test_parameters_stay_as_transformers_loads_them(folder: Path) -> None:
    """Frozen parameters make bfloat16 generation slower on processors that have it in hardware."""
    assert all(p.requires_grad for p in open_model(locate(str(folder))).model.parameters())


# ---- hashes of weights -------------------------------------------------------------------------


def test_the_hash_of_sharded_weights_is_over_all_files_in_name_order(own_caches: Path) -> None:
    path = own_caches / "sharded"
    tiny("llama").save_pretrained(path, max_shard_size="60KB")
    files = sorted(path.glob("*.safetensors"))
    assert len(files) > 2
    expected = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    assert weights.known_hash(path) is None
    assert weights.weights_hash(path) == weights.known_hash(path) == expected
    files[0].unlink()
    assert weights.weights_files(path) == () and weights.weights_hash(path) is None


def test_what_the_weights_hold(folder: Path) -> None:
    held = weights.contents(folder)
    size = (folder / "model.safetensors").stat().st_size
    assert held == weights.Contents(sum(p.numel() for p in tiny("llama").parameters()), size, ("float32",))


def test_the_weights_are_read_ahead_where_they_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda file, *about: asked.append((os.fstat(file).st_ino, *about)), raising=False
    )
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    size = (folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(os, "sysconf", lambda name: 2 * size if name == "SC_AVPHYS_PAGES" else 1)
    reading = weights.read_ahead(folder)
    assert reading is not None
    reading.join()
    assert asked == [((folder / "model.safetensors").stat().st_ino, 0, 0, 3)]
    monkeypatch.setattr(os, "sysconf", lambda name: 2 * size - 2 if name == "SC_AVPHYS_PAGES" else 1)
    assert weights.read_ahead(folder) is None
    (folder / "model.safetensors").unlink()
    assert weights.read_ahead(folder) is None and len(asked) == 1


def test_a_remembered_hash_is_dropped_when_the_weights_change(folder: Path) -> None:
    before = locate(str(folder)).weights_sha256
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    after = locate(str(folder)).weights_sha256
    assert after == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != before


def test_a_cache_that_cannot_be_written_costs_time_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(folder / "config.json"))
    assert locate(str(folder)).weights_sha256 == locate(str(folder)).weights_sha256 is not None


# ---- folders that are no good ------------------------------------------------------------------


def test_a_path_without_a_model(own_caches: Path) -> None:
    assert refusal(lambda: locate("./nowhere", base=own_caches), 1) == (
        "error[M601]: `./nowhere` is not a model folder: there is no such folder\n"
        "help: give the folder that holds config.json, the tokenizer and model.safetensors\n"
    )
    (own_caches / "empty").mkdir()
    for name in ("./empty", "empty"):
        assert refusal(lambda name=name: locate(name, base=own_caches), 1) == (
            f"error[M601]: `{name}` is not a model folder: it holds no config.json\n"
            "help: give the folder that holds config.json, the tokenizer and model.safetensors\n"
        )


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert refusal(lambda: locate(str(folder)), 1) == (
        f"error[M606]: `{folder}` has no complete set of weights: no model.safetensors, or a part of it is missing\n"
        "help: copy the whole model folder, or give the model's hub id\n"
    )
    assert read_facts(str(folder)).arch.n_layers == 3


def test_weights_that_are_cut_short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    text = refusal(lambda: open_model(locate(str(folder))), 3)
    assert text.startswith(f"error[M606]: the weights of `{folder}` cannot be loaded\nnote: the reason given: ")
    assert text.endswith("help: copy the model folder again\n")


def test_damaged_weights_of_a_cache_say_what_to_delete(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    for source, kept in (("wheel", folder), ("hub", folder.parent.parent)):
        located = catalog.Located("acme/tiny", folder, "r", None, source)  # type: ignore[arg-type]
        text = refusal(lambda located=located: open_model(located), 3)
        assert text.startswith("error[M606]: the weights of `acme/tiny` cannot be loaded\n")
        assert text.endswith(f"help: delete {kept} and fetch the model again\n")


def test_weights_that_lack_a_tensor_are_never_filled_in(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert refusal(lambda: open_model(locate(str(folder))), 3) == (
        f"error[M606]: the weights of `{folder}` cannot be loaded\n"
        "note: the reason given: the files do not have model.layers.1.mlp.up_proj.weight\n"
        "help: copy the model folder again\n"
    )


def test_weights_of_another_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    assert refusal(lambda: open_model(locate(str(folder))), 3).startswith("error[M606]: the weights of")


def test_a_damaged_config_or_tokenizer(folder: Path) -> None:
    located = locate(str(folder))
    (folder / "tokenizer.json").write_text("{")
    text = refusal(lambda: open_model(located), 1)
    assert text.startswith(f"error[M606]: the tokenizer of `{folder}` cannot be read\nnote: the reason given: ")
    (folder / "config.json").write_text("{")
    assert refusal(lambda: open_model(located), 1) == (
        f"error[M606]: the files that describe `{folder}` cannot be read\n"
        "note: the reason given: config.json is not JSON: expecting property name enclosed in double quotes "
        "at line 1, column 2\nhelp: fetch or copy the model again\n"
    )


def test_a_model_that_does_not_generate(own_caches: Path) -> None:
    path = own_caches / "classifier"
    LlamaForSequenceClassification(
        LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=16)
    ).save_pretrained(path)
    assert refusal(lambda: read_facts(str(path)), 1) == (
        f"error[M605]: `{path}` is not a causal language model: it is a LlamaForSequenceClassification\n"
        "help: choose a model that generates text\n"
    )


def test_a_family_without_a_row_and_code_of_its_own(folder: Path) -> None:
    """A config that points to Python code is refused before anyone looks for that code."""
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}, "architectures": ["EvilForCausalLM"]}
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    (folder / "evil.py").write_text("raise SystemExit('code of a model ran')")
    text = refusal(lambda: read_facts(str(folder)), 1)
    assert text == (
        f"error[M605]: `{folder}` needs code of its own (trust_remote_code), which steerdsl never runs\n"
        "help: choose a model that transformers has itself; a later version of transformers may have this one\n"
    )
    assert "evil" not in sys.modules


# ---- devices and dtypes ------------------------------------------------------------------------


def test_dtypes(folder: Path) -> None:
    located = locate(str(folder))
    for name, expected in {"bf16": torch.bfloat16, "float32": torch.float32, "fp16": torch.float16}.items():
        loaded = open_model(located, dtype=name, device="cpu")
        assert {p.dtype for p in loaded.model.parameters()} == {expected}
        assert loaded.info.dtype == str(expected).removeprefix("torch.")
    assert refusal(lambda: open_model(located, dtype="float8"), 2) == (
        "error[M609]: `float8` is not a dtype\nhelp: did you mean `float16`?\n"
    )
    assert refusal(lambda: open_model(located, dtype="double"), 2) == (
        "error[M609]: `double` is not a dtype\nhelp: use auto, float32, fp32, bfloat16, bf16, float16, fp16\n"
    )


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("fpu avx512f avx512_bf16 amx_tile", True), ("Features : fp asimd bf16", True), ("fpu avx2", False)],
)
def test_bfloat16_is_the_default_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, fast: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(device, "CPUINFO", tmp_path / "cpuinfo")
    assert device.choose_dtype(None, torch.device("cpu")) == (torch.bfloat16 if fast else torch.float32)
    assert device.choose_dtype("auto", torch.device("mps")) == torch.float32
    monkeypatch.setattr(device, "CPUINFO", tmp_path / "elsewhere")
    assert device.choose_dtype("auto", torch.device("cpu")) == torch.float32


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int, free: int = 0) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    pretend_gpus(monkeypatch, 0)
    assert device.choose_device("auto") == device.choose_device("cpu") == torch.device("cpu")
    assert refusal(lambda: device.choose_device("cuda"), 3) == (
        "error[M608]: the device `cuda` is not available: there is no CUDA device here\n"
        "help: use --device auto, or cpu\n"
    )
    assert refusal(lambda: device.choose_device("mps"), 3) == (
        "error[M608]: the device `mps` is not available: there is no Apple GPU here\nhelp: use --device auto, or cpu\n"
    )
    for odd in ("gpu", "xla", "cuda:x"):
        assert refusal(lambda odd=odd: device.choose_device(odd), 2) == (
            f"error[M608]: `{odd}` is not a device\nhelp: use auto, cpu, cuda, cuda:1 or mps\n"
        )
    pretend_gpus(monkeypatch, 2)
    assert device.choose_device("auto") == device.choose_device("cuda") == torch.device("cuda", 0)
    assert device.choose_device("cuda:1") == torch.device("cuda", 1)
    assert refusal(lambda: device.choose_device("cuda:2"), 3) == (
        "error[M608]: the device `cuda:2` is not available: there are 2 CUDA devices here\n"
        "help: use --device auto, or cpu\n"
    )


def test_a_model_larger_than_one_gpu_is_spread_over_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located, gpu = locate(str(folder)), torch.device("cuda", 0)
    needed = int(38_112 * 2 * 1.2)
    pretend_gpus(monkeypatch, 2, free=needed + 1)
    assert spread.placement(located, torch.bfloat16, gpu, spread=True).options == {}
    assert spread.placement(located, torch.float32, gpu, spread=True).options == {"device_map": "auto"}
    assert refusal(lambda: spread.placement(located, torch.float32, gpu, spread=False), 3) == (
        f"error[M613]: `{folder}` needs 182.9 kB on cuda:0, which has 91.5 kB free\n"
        "help: use --dtype bf16, --device cpu, or --device cuda, which takes all GPUs, memory and the disk\n"
    )
    assert refusal(lambda: spread.placement(located, torch.float32, gpu, spread=False), 3).startswith("error[M613]")


def test_what_no_gpu_holds_goes_to_memory_and_to_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located, gpu = locate(str(folder)), torch.device("cuda", 0)
    needed = int(38_112 * 2 * 1.2)
    pretend_gpus(monkeypatch, 1, free=needed - 1)
    monkeypatch.setattr(memory, "_available", lambda: 24_000)
    found = spread.with_folder(spread.placement(located, torch.bfloat16, gpu, spread=True))
    assert found.options["max_memory"] == {0: int((needed - 1) / 1.2), "cpu": 20_000}
    kept = Path(found.options["offload_folder"])
    assert kept.is_dir() and found.words() == (
        "it needs 91.5 kB, 91.5 kB are free: its blocks are spread over memory and, where that is short, the disk, "
        "which is slow"
    )
    del found
    assert not kept.exists()


@pytest.mark.parametrize(("quantization", "expected"), [(None, 4), ("int8", 1), ("bnb_4bit", 4.5 / 8)])
def test_the_bytes_of_quantised_weights(folder: Path, quantization: str | None, expected: float) -> None:
    embeddings, norms, linear = 320 * 32, 7 * 32, 3 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    wanted = 4 * (embeddings + norms) + linear * expected
    assert memory.weights_memory(folder, torch.float32, quantization) == int(wanted)


# ---- what is on this machine -------------------------------------------------------------------


def test_nothing_is_cached_at_first(own_caches: Path) -> None:
    assert catalog.cached() == []
    assert catalog.find(None) is None


def test_a_relative_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STEERDSL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_root() == tmp_path / "steerdsl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache.cache_root() == tmp_path / ".cache" / "steerdsl"
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "mine"))
    assert cache.cache_root() == tmp_path / "mine"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (98_362_432, "98.4 MB"), (7e12, "7.0 TB")]
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert cache.size_text(size) == text
