"""Fetching from a model hub: a small one on this machine, asked by the real client in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakehub import COMMIT, serve
from peft import LoraConfig, get_peft_model
from tiny import tiny as tiny_model
from tiny import tiny_folder

ASK = """
import json, sys
from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models import catalog, facts
what, model, revision, offline = json.loads(sys.argv[1])
seen = []
try:
    if what == "locate":
        found = catalog.locate(model, revision=revision, offline=offline, progress=lambda *s: seen.append(s))
    else:
        found = facts.read_facts(model, revision=revision, offline=offline).located
    files = sorted(p.name for p in found.path.iterdir())
    print(json.dumps([found.id, found.source, found.revision, found.complete, files, len(seen)]))
except RecipeError as error:
    print("".join(render(d) for d in error.diagnostics) + f"exit {error.exit_code}", end="")
"""
FILES = ["chat_template.jinja", "config.json", "generation_config.json"]
FILES += ["model.safetensors", "tokenizer.json", "tokenizer_config.json"]


ADAPTED = """
import json, sys
from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models.adapters import AdapterPlace
from steerdsl.models.catalog import locate
name, offline = json.loads(sys.argv[1])
try:
    found = locate("acme/tiny", adapter=AdapterPlace(name), offline=offline).adapter
    print(json.dumps([found.id, found.revision, len(found.sha256), sorted(p.name for p in found.path.iterdir())]))
except RecipeError as error:
    print("".join(render(d) for d in error.diagnostics) + f"exit {error.exit_code}", end="")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Models: acme/tiny (with things beside it that are not wanted), acme/pickled, acme/gated, acme/bert."""
    folder = tmp_path_factory.mktemp("served")
    tiny = tiny_folder(folder / "acme" / "tiny")
    (tiny / "onnx").mkdir()
    for unwanted in ("pytorch_model.bin", "modeling_tiny.py", "onnx/model.safetensors", "consolidated.safetensors"):
        (tiny / unwanted).write_bytes(b"x")
    for name, kept in {
        "pickled": "pytorch_model.bin",
        "gated": "model.safetensors",
        "bert": "model.safetensors",
    }.items():
        (folder / "acme" / name).mkdir()
        (folder / "acme" / name / kept).write_bytes(b"x")
        (folder / "acme" / name / "config.json").write_text('{"model_type": "llama"}')
    (folder / "acme" / "gated" / ".gated").touch()
    (folder / "acme" / "bert" / "config.json").write_text(
        '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'
    )
    adapter = folder / "acme" / "lora"
    get_peft_model(tiny_model(), LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])).save_pretrained(adapter)
    (adapter / "optimizer.pt").write_bytes(b"x")
    (folder / "acme" / "old-lora").mkdir()
    for name in ("adapter_config.json", "adapter_model.bin"):
        (folder / "acme" / "old-lora" / name).write_text("{}")
    with serve(folder) as address:
        yield address


Ask = Callable[..., str]


@pytest.fixture
def ask(hub: str, tmp_path: Path) -> Ask:
    """Ask in a fresh process with empty caches; returns what it prints, and demands a quiet stderr."""

    def run(what: str, model: str, revision: str | None = None, offline: bool = False, address: str = hub) -> str:
        places = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "STEERDSL_CACHE": str(tmp_path / "own")}
        asked = (ADAPTED, [model, offline]) if what == "adapter" else (ASK, [what, model, revision, offline])
        done = subprocess.run(
            [sys.executable, "-c", asked[0], json.dumps(asked[1])],
            env={**os.environ, **places, "HF_HUB_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout

    return run


def test_a_model_is_fetched_once_and_found_offline(ask: Ask) -> None:
    first = json.loads(ask("locate", "acme/tiny"))
    assert first[:5] == ["acme/tiny", "hub", COMMIT, True, FILES]
    assert first[5] > 0
    again = json.loads(ask("locate", "acme/tiny", offline=True))
    assert again == [*first[:5], 0]
    assert json.loads(ask("locate", "acme/tiny", address="http://127.0.0.1:9"))[:5] == first[:5]
    for commit in (COMMIT, COMMIT[:7], COMMIT[:12], COMMIT[:39]):
        assert json.loads(ask("locate", "acme/tiny", commit, offline=True))[:5] == first[:5]
    for other in (COMMIT[:6], "abcdef0", f"{COMMIT[:8]}*", f"../{COMMIT[:7]}"):
        assert "`acme/tiny` is not on this machine" in ask("locate", "acme/tiny", other, offline=True)


def test_a_plan_fetches_no_weights_and_a_run_completes_them(ask: Ask) -> None:
    described = json.loads(ask("describe", "acme/tiny"))
    assert described[:4] == ["acme/tiny", "hub", COMMIT, False]
    assert described[4] == [f for f in FILES if f != "model.safetensors"]
    assert json.loads(ask("locate", "acme/tiny"))[:5] == ["acme/tiny", "hub", COMMIT, True, FILES]


@pytest.mark.parametrize(
    ("model", "revision", "text"),
    [
        (
            "acme/nothing",
            None,
            "error[M601]: there is no model `acme/nothing` on the hub\n"
            "help: check its name; a private model needs `hf auth login`\nexit 1",
        ),
        (
            "acme/tiny",
            "v9",
            "error[M601]: `acme/tiny` has no revision `v9`\nhelp: leave the revision out, or give a commit\nexit 1",
        ),
        (
            "not a/valid id!",
            None,
            "error[M601]: there is no model `not a/valid id!` on the hub\n"
            "help: check its name; a private model needs `hf auth login`\nexit 1",
        ),
        (
            "acme/pickled",
            None,
            "error[M612]: `acme/pickled` has no weights as safetensors\n"
            "help: other formats can run code when they are opened; choose a model that has safetensors\nexit 1",
        ),
        (
            "down/model",
            None,
            "error[M602]: `down/model` is not on this machine, and the model hub cannot be reached\n"
            "note: the reason given: the hub answered 503\n"
            "help: check the network, or choose one of the models that `steerdsl models` lists\nexit 3",
        ),
    ],
)
def test_what_the_hub_refuses(ask: Ask, model: str, revision: str | None, text: str) -> None:
    assert ask("locate", model, revision) == text
    assert ask("describe", model, revision) == text


def test_a_gated_model(ask: Ask) -> None:
    assert ask("locate", "acme/gated") == (
        "error[M603]: `acme/gated` is gated: its owner wants its licence accepted first\n"
        "help: accept it at https://huggingface.co/acme/gated, then run `hf auth login`\nexit 1"
    )


@pytest.mark.parametrize("what", ["locate", "describe"])
def test_another_kind_of_model_is_refused_before_its_weights_are_fetched(ask: Ask, tmp_path: Path, what: str) -> None:
    assert ask(what, "acme/bert") == (
        "error[M605]: `acme/bert` is not a causal language model: it is a BertForMaskedLM\n"
        "help: choose a model that generates text\nexit 1"
    )
    assert {f.name for f in (tmp_path / "hf").rglob("*.*") if f.suffix in (".json", ".safetensors")} >= {"config.json"}
    assert not list((tmp_path / "hf").rglob("*.safetensors"))


def test_an_adapter_is_fetched_once_and_found_offline(ask: Ask) -> None:
    first = json.loads(ask("adapter", "acme/lora"))
    assert first == ["acme/lora", COMMIT, 64, ["adapter_config.json", "adapter_model.safetensors"]]
    assert json.loads(ask("adapter", "acme/lora", offline=True)) == first
    assert json.loads(ask("adapter", f"acme/lora@{COMMIT}", offline=True))[1:] == first[1:]


def test_adapters_that_the_hub_does_not_give(ask: Ask) -> None:
    assert ask("adapter", "acme/nothing").startswith("error[M601]: there is no model `acme/nothing` on the hub\n")
    assert ask("adapter", "acme/gated").startswith("error[M662]: `acme/gated` cannot be used as an adapter: ")
    assert ask("adapter", "acme/lora@v9").startswith("error[M601]: `acme/lora` has no revision `v9`\n")
    assert ask("adapter", "acme/old-lora").startswith(
        "error[M662]: `acme/old-lora` cannot be used as an adapter: there is no adapter_model.safetensors\n"
    )
    assert ask("adapter", "acme/lora", offline=True) == (
        "error[M602]: the adapter `acme/lora` is not on this machine, and --offline forbids fetching it\n"
        "help: run it once with a network\nexit 3"
    )


def test_a_cache_that_cannot_be_written(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "hf").write_text("a file where a folder should be")
    text = ask("locate", "acme/tiny")
    assert text.startswith("error[M616]: the cache cannot be written: not a directory\nnote: the file: ")
    assert text.endswith(
        "help: set STEERDSL_CACHE (HF_HOME for the hub's cache) to a folder that you can write to\nexit 3"
    )


def test_no_network(ask: Ask) -> None:
    text = ask("locate", "acme/tiny", address="http://127.0.0.1:9")
    assert text.startswith("error[M602]: `acme/tiny` is not on this machine, and the model hub cannot be reached\n")
    assert text.endswith("help: check the network, or choose one of the models that `steerdsl models` lists\nexit 3")
    assert ask("describe", "acme/tiny", offline=True) == (
        "error[M602]: `acme/tiny` is not on this machine, and --offline forbids asking the hub about it\n"
        "help: run `steerdsl models fetch acme/tiny` once with a network\nexit 3"
    )
    assert ask("locate", "huggingfacetb/smollm2-135m-instrct", offline=True).endswith(
        "help: did you mean `HuggingFaceTB/SmolLM2-135M-Instruct`?\nexit 3"
    )
