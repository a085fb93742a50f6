"""What the probe refuses and why, and what it keeps: on modules that are written out here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny, tiny_config, tiny_folder
from torch import Tensor, nn

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models import architecture as room
from steerdsl.models import kept_sites
from steerdsl.models.catalog import locate
from steerdsl.models.opened import open_model
from steerdsl.models.probe import probe
from steerdsl.models.sites import Architecture
from steerdsl.models.unsteerable import Unsteerable

WIDTH = 16


class Mixer(nn.Module):
    """A causal mean of what came before, or of all tokens."""

    def __init__(self, causal: bool = True) -> None:
        super().__init__()
        self.proj, self.causal = nn.Linear(WIDTH, WIDTH, bias=False), causal

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        weights = torch.ones(n, n).tril() if self.causal else torch.ones(n, n)
        return self.proj((weights / weights.sum(1, keepdim=True)) @ x)


class Block(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.attn, self.mlp = Mixer(form != "encoder"), nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Any:
        if self.form == "parallel":
            return x + self.attn(self.norm_1(x)) + self.mlp(self.norm_2(x))
        if self.form == "scaled":
            x = x + 0.25 * self.attn(self.norm_1(x))
            return (x - 0.5 * self.mlp(self.norm_2(x)),)
        if self.form == "gained":
            x = x + self.attn(self.norm_1(x))
            return 0.7 * (x + self.mlp(self.norm_2(x)))
        if self.form == "product":
            x = x + self.attn(self.norm_1(x))
            return x * (1 + self.mlp(self.norm_2(x)))
        x = x + self.attn(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class Model(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.config = form, SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=100))
        self.embed, self.head = nn.Embedding(100, WIDTH), nn.Linear(WIDTH, 100, bias=False)
        self.blocks = nn.ModuleList([Block(form) for _ in range(3)])
        self.norm = nn.LayerNorm(WIDTH)

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Tensor:
        x = self.embed(input_ids)
        if self.form == "wide":
            x = x[:, :, None].repeat(1, 1, 2, 1)
        for block in self.blocks:
            x = block.mlp(x) if self.form == "wide" else block(x)
            x = x[0] if isinstance(x, tuple) else x
            x = x * 1.5 if self.form == "broken" else x
            x = block(x) if self.form == "twice" else x
        return self.head(self.norm(x[:, :, 0] if self.form == "wide" else x))


def found(form: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return probe(Model(form).eval(), lambda layer, width: (4, width // 4))


def test_a_plain_block() -> None:
    kinds = found("plain").kinds
    assert {s: f"{x.module} {x.side}" for s, x in kinds[1].sites.items()} == {
        "resid_pre": "blocks.{l} input",
        "resid_mid": "blocks.{l}.norm_2 input",
        "resid_post": "blocks.{l} output",
        "attn_out": "blocks.{l}.attn output",
        "mlp_out": "blocks.{l}.mlp output",
        "attn_norm_out": "blocks.{l}.norm_1 output",
        "mlp_norm_out": "blocks.{l}.norm_2 output",
        "head": "blocks.{l}.attn.proj input",
    }
    assert (kinds[0].n_heads, kinds[0].d_head) == (4, 4)
    assert found("plain").norm == "norm"
    assert found("plain").embeddings == ("embed",)


def test_factors_of_either_sign_and_a_tuple() -> None:
    kind = found("scaled").kinds[0]
    assert kind.sites["attn_out"].factor == pytest.approx(0.25, rel=1e-5)
    assert kind.sites["mlp_out"].factor == pytest.approx(-0.5, rel=1e-5)
    assert kind.sites["resid_post"].tupled
    assert kind.sites["resid_mid"].module == "blocks.{l}.norm_2"


def test_a_gain_on_the_whole() -> None:
    kind = found("gained").kinds[0]
    assert kind.gain == pytest.approx(0.7, rel=1e-5)
    assert {kind.sites[s].factor for s in ("attn_out", "mlp_out")} == {1.0}


def test_a_parallel_block_has_all_but_the_middle() -> None:
    kind = found("parallel").kinds[0]
    assert kind.missing == {"resid_mid": "attention and MLP read the same input and are added together"}


@pytest.mark.parametrize(
    ("form", "what", "words"),
    [
        ("product", "sum", "no sum of the outputs of blocks.0 is what it adds to its input: the nearest misses by"),
        ("broken", "chain", "block 1 does not take what block 0 gives: it differs by"),
        ("encoder", "causal", "tokens see those after them"),
        ("twice", "stack", "blocks.0 runs 2 times in one pass"),
        ("wide", "stack", "what the blocks of"),
    ],
)
def test_what_is_refused_says_which_identity_failed(form: str, what: str, words: str) -> None:
    with pytest.raises(Unsteerable) as error:
        found(form)
    assert error.value.what == what
    assert error.value.reason.startswith(words)


def test_what_was_found_is_not_looked_for_again(own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sites, "_IN_MEMORY", {})
    config = tiny_config("qwen3")
    first = room.architecture(config)
    kept_sites._IN_MEMORY.clear()
    monkeypatch.setattr(room, "find", None)
    assert room.architecture(config) == first
    assert isinstance(first, Architecture)
    with pytest.raises(TypeError):  # another config is another architecture
        room.architecture(tiny_config("qwen3", num_hidden_layers=2))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"family": 5}'])
def test_a_damaged_note_is_found_again(own_caches: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(kept_sites, "_IN_MEMORY", {})
    config = tiny_config("llama")
    first = room.architecture(config)
    (note,) = (own_caches / "own" / "sites").glob("*.json")
    note.write_text(text)
    kept_sites._IN_MEMORY.clear()
    assert room.architecture(config) == first


def test_weights_that_do_not_add_up(own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(own_caches / "model")
    kind = type(tiny().model.layers[0])
    plain = kind.forward
    arch = room.architecture(tiny_config("llama"))  # known before the code was changed, as from the cache
    monkeypatch.setattr("steerdsl.models.facts.architecture", lambda config: arch)
    monkeypatch.setattr("steerdsl.models.config.architecture", lambda config: arch)
    monkeypatch.setattr(kind, "forward", lambda self, *a, **k: plain(self, *a, **k) * 1.01)
    with pytest.raises(RecipeError) as error:
        open_model(locate(str(folder)), dtype="float32", device="cpu")
    assert error.value.diagnostics[0].code == "M642"
