"""The sites of the families of `tiny` against plain PyTorch hooks and against places that were written by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from engine.families import FAMILIES
from tiny import CASES, LAYERS, tiny, tiny_config
from torch import Tensor
from transformers import AutoConfig

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models.architecture import architecture
from steerdsl.models.sites import STREAMS, Site

ORDER = ("resid_pre", "attn_norm_out", "head", "attn_out", "resid_mid", "mlp_norm_out", "mlp_out", "resid_post")
IDS = torch.tensor([[1, 50, 60, 70, 80, 90], [1, 55, 65, 75, 85, 95]])
PARALLEL = ("gpt_neox",)
POST_NORM = ("opt_post_norm",)
SEQUENTIAL = tuple(c for c in CASES if c not in PARALLEL + POST_NORM)


class Hooks:
    """Reads and edits sites by forward hooks; captured tensors are [batch, sequence, width]."""

    def __init__(self, model: Any) -> None:
        self.model, self.handles = model, []

    def at(self, site: Site, act: Callable[[Tensor], Tensor | None]) -> None:
        def on(value: Tensor) -> Tensor | None:
            new = act(value.view(*IDS.shape, -1) if site.flat else value)
            return None if new is None else new.reshape(value.shape)

        def after(_: Any, args: Any, output: Any) -> Any:
            assert isinstance(output, tuple) == site.tupled
            new = on(output[0] if site.tupled else output)
            return (new, *output[1:]) if new is not None and site.tupled else new

        def before(_: Any, args: Any) -> Any:
            new = on(args[0])
            return None if new is None else (new, *args[1:])

        module = self.model.get_submodule(site.module)
        hook = module.register_forward_hook if site.side == "output" else module.register_forward_pre_hook
        self.handles.append(hook(after if site.side == "output" else before))

    def keep(self, site: Site) -> list[Tensor]:
        kept: list[Tensor] = []
        self.at(site, lambda value: kept.append(value.clone()))
        return kept

    def run(self) -> Any:
        with torch.no_grad():
            out = self.model(IDS, output_hidden_states=True)
        for handle in self.handles:
            handle.remove()
        self.handles = []
        return out


def captured(
    case: str, edit: Callable[[Hooks, Any], None] | None = None
) -> tuple[Any, dict[tuple[str, int], Tensor], Any]:
    model = tiny(case)
    arch, hooks = architecture(model.config), Hooks(model)
    if edit is not None:
        edit(hooks, arch)
    kept = {(s, layer): hooks.keep(arch.read(s, layer)) for s in arch.streams for layer in range(arch.n_layers)}
    out = hooks.run()
    return arch, {key: values[0] for key, values in kept.items()}, out


@pytest.mark.parametrize("case", CASES)
def test_blocks_chain_and_equal_hidden_states(case: str) -> None:
    arch, kept, out = captured(case)
    assert arch.n_layers == LAYERS
    for layer in range(LAYERS):
        assert torch.equal(kept["resid_pre", layer], out.hidden_states[layer])
        if layer + 1 < LAYERS:
            assert torch.equal(kept["resid_post", layer], kept["resid_pre", layer + 1])
            assert torch.equal(kept["resid_post", layer], out.hidden_states[layer + 1])


@pytest.mark.parametrize("case", SEQUENTIAL)
def test_contributions_add_up(case: str) -> None:
    arch, kept, _ = captured(case)
    assert arch.streams == STREAMS
    for layer in range(LAYERS):
        pre, mid, post = (kept[f"resid_{part}", layer] for part in ("pre", "mid", "post"))
        assert torch.equal(pre + kept["attn_out", layer], mid)
        assert torch.equal(mid + kept["mlp_out", layer], post)
        assert not torch.equal(pre, mid)


@pytest.mark.parametrize("case", PARALLEL)
def test_parallel_contributions_add_up(case: str) -> None:
    _, kept, _ = captured(case)
    for layer in range(LAYERS):
        both = kept["mlp_out", layer] + kept["attn_out", layer]
        assert torch.equal(both + kept["resid_pre", layer], kept["resid_post", layer])


@pytest.mark.parametrize("case", [c for c in CASES if c not in POST_NORM])
def test_norms_and_heads(case: str) -> None:
    model = tiny(case)
    arch, kept, _ = captured(case)
    block = model.get_submodule(arch.blocks)[1]
    norms = [m for name, m in block.named_children() if "norm" in name or name.startswith("ln_")]
    read_by = {"attn_norm_out": "resid_pre", "mlp_norm_out": "resid_pre" if case in PARALLEL else "resid_mid"}
    for stream, source in read_by.items():
        with torch.no_grad():
            assert any(torch.equal(norm(kept[source, 1]), kept[stream, 1]) for norm in norms)
    # Projecting the heads gives what attention adds (before Gemma's second norm).
    with torch.no_grad():
        mixed = model.get_submodule(arch.read("head", 1).module)(kept["head", 1])
        if arch.family.startswith("gemma"):
            mixed = block.post_attention_layernorm(mixed)
    torch.testing.assert_close(mixed, kept["attn_out", 1], rtol=0, atol=1e-6)
    assert kept["head", 1].shape[-1] == arch.n_heads * arch.d_head
    assert arch.head_slice(arch.n_heads - 1).stop == kept["head", 1].shape[-1]


@pytest.mark.parametrize("case", SEQUENTIAL)
@pytest.mark.parametrize("stream", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"])
def test_a_written_stream_reads_back_and_flows_on(case: str, stream: str) -> None:
    push = torch.linspace(-1, 1, 32)

    def edit(hooks: Hooks, arch: Any) -> None:
        site = arch.write(stream, 1)
        base = hooks.keep(site.onto) if site.onto else None

        def act(value: Tensor) -> Tensor:
            onto = base[0] if base is not None else 0.0
            return (onto + value + push) - onto

        hooks.at(site, act)

    _, before, _ = captured(case)
    _, after, _ = captured(case, edit)
    torch.testing.assert_close(after[stream, 1], before[stream, 1] + push, rtol=1e-5, atol=1e-5)
    if stream != "resid_post":  # the residual stream itself moved, not only a branch of it
        contributions = after["resid_pre", 1] + after["attn_out", 1] + after["mlp_out", 1]
        torch.testing.assert_close(after["resid_post", 1], contributions, rtol=1e-5, atol=1e-5)
    assert torch.equal(after["resid_pre", 2], after["resid_post", 1])
    assert not torch.allclose(after["resid_post", 1], before["resid_post", 1], atol=1e-3)


@pytest.mark.parametrize("case", ["llama", "gemma2", "gpt2", "gpt_neox", "opt"])
def test_everywhere_covers_every_write(case: str) -> None:
    """Removing a direction at each listed place leaves none of it in any residual state."""
    direction = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)

    def edit(hooks: Hooks, arch: Any) -> None:
        for stream, layer in arch.everywhere():
            hooks.at(arch.write(stream, layer), lambda h: h - (h @ direction)[..., None] * direction)

    arch, kept, _ = captured(case, edit)
    assert len(arch.everywhere()) == 1 + 2 * LAYERS
    for layer in range(LAYERS):
        assert (kept["resid_post", layer] @ direction).abs().max() < 1e-5
        assert (kept["resid_post", layer]).abs().max() > 0.1


def test_embeddings_are_modules_of_the_model() -> None:
    for case in CASES:
        model = tiny(case)
        for path in architecture(model.config).embeddings:
            assert model.get_submodule(path).weight.shape[0] > 0


@pytest.mark.parametrize("case", CASES)
def test_what_is_found_is_what_was_written_by_hand(case: str) -> None:
    arch = architecture(tiny_config(case))
    assert len(arch.kinds) == 1
    found = {
        stream: ("<" if site.side == "input" else ">") + site.module.replace("{l}", "{}")
        for stream, site in arch.sites.items()
    }
    assert found == FAMILIES[case]
    assert all(site.factor == 1.0 for site in arch.sites.values())
    assert all(arch.rank(a, 0) <= arch.rank(b, 0) for a, b in pairwise(s for s in ORDER if s in arch.sites))


def message(error: pytest.ExceptionInfo[RecipeError]) -> str:
    return "".join(render(d) for d in error.value.diagnostics)


def test_parallel_residual_has_no_mid() -> None:
    arch = architecture(tiny_config("gpt_neox"))
    for look in (arch.read, arch.write):
        with pytest.raises(RecipeError) as error:
            look("resid_mid", 0)
        assert message(error) == (
            "error[P710]: gpt_neox models have no `resid_mid`: attention and MLP read the same input and are added "
            "together\n"
            "help: this model has resid_pre, resid_post, attn_out, mlp_out, attn_norm_out, mlp_norm_out, head\n"
        )


def test_post_norm_opt_says_what_it_lacks() -> None:
    arch = architecture(tiny_config("opt_post_norm"))
    with pytest.raises(RecipeError) as error:
        arch.read("mlp_norm_out", 0)
    assert message(error) == (
        "error[P710]: opt models have no `mlp_norm_out`: this one normalises after each addition, so there is "
        "nothing between the two\n"
        "help: this model has resid_pre, resid_post, attn_out, mlp_out, head\n"
    )


def test_a_head_out_of_range() -> None:
    with pytest.raises(RecipeError) as error:
        architecture(tiny_config("llama")).head_slice(4)
    assert message(error) == (
        "error[P711]: head 4 does not exist: the model has 4 heads a layer\nhelp: heads are numbered 0 to 3\n"
    )


def test_an_unknown_family() -> None:
    with pytest.raises(RecipeError) as error:
        architecture(AutoConfig.for_model("vit"))
    assert message(error) == (
        "error[M605]: transformers has no causal language model of type `vit`\n"
        "help: choose another model, or a version of transformers that has this one\n"
    )


def test_an_encoder_is_refused_with_the_identity_that_failed() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    with pytest.raises(RecipeError) as error:
        architecture(AutoConfig.for_model("bert", vocab_size=300, **sizes))
    lines = message(error).splitlines()
    assert lines[0] == "error[M640]: models of type `bert` have no residual stream that can be steered"
    assert lines[1].startswith("note: tokens see those after them (at the end of bert.encoder.layer.1, by ")
    assert lines[2] == "help: choose another model"


def test_a_copy_that_cannot_be_run_is_said() -> None:
    with pytest.raises(RecipeError) as error:
        architecture(AutoConfig.for_model("llama", hidden_act="no such function"))
    assert message(error).startswith("error[M641]: transformers cannot run a small copy of this `llama` model")
