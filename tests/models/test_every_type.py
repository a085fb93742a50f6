"""Every type of transformers' list of causal language models: its identities, and edits held against plain hooks.

The models are small, with weights other than those that the probe saw. `docs/models.json` says which types open.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from every_type import TYPES, WRAPPERS, config, depth
from exported import exported
from hand_places import PLACES
from hooked import IDS, MASK, Hooks
from tiny import tiny_tokenizer
from torch import Tensor

from steerdsl.engine.edits import make_edit
from steerdsl.engine.steer_compiler import in_order, touches
from steerdsl.engine.tracing import Session
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.architecture import find
from steerdsl.models.generation import Stops, neutral
from steerdsl.models.shrink import shrunk
from steerdsl.models.sites import STREAMS, Architecture, BlockKind
from steerdsl.models.small import model_class

TABLE = Path(__file__).parents[2] / "docs" / "models.json"
QUICK = ("llama", "gpt2", "gpt_neox", "bloom", "gptj", "gemma4_text", "granite", "olmo2", "qwen3_5_text", "nemotron_h")
QUICK += ("falcon_h1", "gpt_oss", "deepseek_v3", "mamba", "openai-gpt", "granitemoehybrid")
TOKENS = 3
LONGER = 8
UNGENERATED = ("xlstm",)  # transformers sizes its cache by fields that do not follow from its width


@cache
def looked_at(model_type: str) -> Architecture | str:
    """The architecture of a type, or the reason why it is refused."""
    try:
        return find(config(model_type), depth(model_type))
    except RecipeError as error:
        (found,) = error.diagnostics
        return f"{found.code}: {found.notes[0] if found.notes else found.title}"


@cache
def model_of(model_type: str) -> Any:
    """A small model of a type with weights of its own."""
    small = shrunk(config(model_type), depth(model_type))
    with torch.random.fork_rng():
        torch.manual_seed(77)
        model = model_class(small).from_config(small, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn_like(parameter)
                parameter.copy_(
                    noise * 0.15 if parameter.ndim > 1 else parameter.nan_to_num().clamp(-8, 8) + noise * 0.1
                )
    return model


def flow(model: Any, arch: Architecture) -> dict[tuple[str, int], Tensor]:
    """Every stream and writer of every block on the padded batch, at its real tokens: [tokens, d]."""
    hooks = Hooks(model)
    names = {(s, layer) for layer in range(arch.n_layers) for s in arch.kind(layer).sites}
    kept = {(s, layer): hooks.keep(arch.read(s, layer)) for s, layer in names}
    with torch.no_grad():
        model(input_ids=IDS, attention_mask=MASK, use_cache=False)
    hooks.clear()
    return {key: values[0][MASK.bool()] for key, values in kept.items()}


def near(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 3e-5 * b.abs().max())


def identities(model_type: str) -> None:
    arch, model = looked_at(model_type), model_of(model_type)
    assert isinstance(arch, Architecture)
    kept = flow(model, arch)
    for layer in range(arch.n_layers):
        kind, pre, post = arch.kind(layer), kept["resid_pre", layer], kept["resid_post", layer]
        if layer + 1 < arch.n_layers:
            assert torch.equal(kept["resid_pre", layer + 1], post)
        if "this one normalises" not in kind.missing.get("resid_mid", ""):
            total = pre + torch.stack([kept[w, layer] for w in kind.writes]).sum(0)
            assert near(kind.gain * total, post)
        if "resid_mid" in kind.sites:
            assert near(pre + kept["attn_out", layer], kept["resid_mid", layer])
        if "head" in kind.sites:
            assert kind.n_heads * kind.d_head > 0


def _add(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    return h + p["u"] * p["size"]


def _ablate(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    return h - (h @ p["u"])[..., None] * p["u"]


def _rotate(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    a, b = h @ p["u"], h @ p["w"]
    return h + (-a - b)[..., None] * p["u"] + (a - b)[..., None] * p["w"]


KERNELS = {"add": _add, "ablate": _ablate, "rotate": _rotate}


def steered_by_hooks(model: Any, arch: Architecture, stream: str, layer: int, kernel: Any, p: Any) -> Tensor:
    hooks, passes, base = Hooks(model), [0], list[Tensor]()
    site = arch.write(stream, layer)

    def look(value: Tensor) -> Tensor:
        total = value if site.onto is None else base[-1] + value
        new = kernel(total, p)
        if passes[0] == 0:
            new = torch.where(MASK.bool()[..., None], new, total)
        passes[0] += 1
        return new if site.onto is None else new - base[-1]

    if site.onto is not None:
        hooks.at(site.onto, base.append)
    hooks.at(site, look)
    try:
        with torch.no_grad():
            return generated(model)
    finally:
        hooks.clear()


def generated(model: Any) -> Tensor:
    ids: Tensor = model.generate(input_ids=IDS, attention_mask=MASK, generation_config=settings())
    return ids


def settings() -> Any:
    made = neutral(Stops(end=(), pad=0))
    made.max_new_tokens = made.min_new_tokens = TOKENS
    made.do_sample = False
    return made


def edits(model_type: str) -> None:
    arch, model = looked_at(model_type), model_of(model_type)
    assert isinstance(arch, Architecture)
    model.generation_config = settings()
    info: Any = SimpleNamespace(dtype="float32")
    session = Session(SimpleNamespace(model=model, tokenizer=tiny_tokenizer(), arch=arch, info=info))  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(5)
    plain, moved = generated(model), 0
    kept = flow(model, arch)
    for stream in arch.streams:
        has = [layer for layer in range(arch.n_layers) if stream in arch.kind(layer).sites]
        layer = has[len(has) // 2]
        width = kept[stream, layer].shape[-1]
        u, w = torch.linalg.qr(torch.randn(width, 2, generator=draw))[0].T.contiguous()
        p = {"u": u, "w": w, "size": kept[stream, layer].norm(dim=-1).median().float() * 3}
        for name, kernel in KERNELS.items():
            edit = make_edit(kernel, p, (0, None), (), False, None)
            placed = in_order(touches({(stream, layer): [edit]}, arch))
            given = {"input_ids": IDS, "attention_mask": MASK}
            ids, _ = session.generate(given, placed, TOKENS, settings())
            wanted = steered_by_hooks(model, arch, stream, layer, kernel, p)
            assert torch.equal(ids, wanted), (stream, layer, name)
            moved += int(not torch.equal(wanted, plain))
    assert moved, "steers that change nothing show nothing"


def decoded(model_type: str) -> None:
    """Rows that are equal are read once and rows that have ended leave, whatever a type keeps of earlier tokens: every
    row has the tokens that transformers' own loop gives it."""
    arch, model = looked_at(model_type), model_of(model_type)
    assert isinstance(arch, Architecture)
    info: Any = SimpleNamespace(dtype="float32")
    session = Session(SimpleNamespace(model=model, tokenizer=tiny_tokenizer(), arch=arch, info=info))  # type: ignore[arg-type]
    rows = [row for row in range(len(IDS)) for _ in range(3)]
    given = {"input_ids": IDS[rows], "attention_mask": MASK[rows]}
    width = IDS.shape[1]
    made = settings()
    made.max_new_tokens = made.min_new_tokens = LONGER
    model.generation_config = made
    free = model.generate(**given, generation_config=made)[:, width:]
    made.eos_token_id = sorted({int(free[0, 1]), int(free[-1, 4])})
    made.pad_token_id, made.min_new_tokens = 0, None
    model.generation_config = made
    wanted = model.generate(**given, generation_config=made)[:, width:]
    same = [rows.index(row) for row in rows]
    ids, _ = session.generate(given, [], LONGER, made, same=same)
    assert [_until(row, made.eos_token_id) for row in ids[:, width:]] == [
        _until(row, made.eos_token_id) for row in wanted
    ]


def _until(tokens: Tensor, ends: list[int]) -> list[int]:
    listed: list[int] = tokens.tolist()
    return listed[: next((at for at, token in enumerate(listed) if token in ends), len(listed))]


def everywhere(model_type: str) -> None:
    """Removing a direction from every write leaves none of it in the stream, but what norms put back."""
    arch, model = looked_at(model_type), model_of(model_type)
    assert isinstance(arch, Architecture)
    if any("this one normalises" in kind.missing.get("resid_mid", "") for kind in arch.kinds):
        return
    width = flow(model, arch)["resid_post", 0].shape[-1]
    u = torch.nn.functional.normalize(torch.randn(width, generator=torch.Generator().manual_seed(1)), dim=0)
    hooks = Hooks(model)
    for stream, layer in arch.everywhere():
        hooks.at(arch.write(stream, layer), lambda h: h - (h @ u)[..., None] * u)
    last = hooks.keep(arch.read("resid_post", arch.n_layers - 1))
    with torch.no_grad():
        model(input_ids=IDS, attention_mask=MASK, use_cache=False)
    hooks.clear()
    assert (last[0] @ u.double()).abs().max() < 1e-4 * last[0].norm(dim=-1).max()


def said(model_type: str) -> Any:
    """What the table of models says of a type."""
    arch = looked_at(model_type)
    if isinstance(arch, str):
        return {"refused": arch}
    kinds = [
        {
            "streams": [s for s in kind.sites if s in STREAMS],
            "writes": list(kind.writes),
            "heads": kind.n_heads > 0,
            **({"factors": sorted({s.factor for s in kind.sites.values()} - {1.0})} if _scaled(kind) else {}),
        }
        for kind in arch.kinds
    ]
    return {"blocks": arch.blocks, "kinds": kinds, "exports": exported(model_of(model_type))}


def _scaled(kind: BlockKind) -> bool:
    return any(site.factor != 1.0 for site in kind.sites.values())


def check(model_type: str) -> None:
    found = said(model_type)
    if os.environ.get("UPDATE_EXPECTED"):
        table = json.loads(TABLE.read_text("utf-8")) if TABLE.exists() else {}
        table[model_type] = found
        TABLE.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n", "utf-8")
    assert found == json.loads(TABLE.read_text("utf-8"))[model_type]
    if not isinstance(looked_at(model_type), str):
        identities(model_type)
        everywhere(model_type)
        if model_type not in UNGENERATED:
            edits(model_type)
            decoded(model_type)


@pytest.mark.parametrize("model_type", QUICK)
def test_a_type(model_type: str) -> None:
    check(model_type)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [t for t in (*TYPES, *WRAPPERS) if t not in QUICK])
def test_every_other_type(model_type: str) -> None:
    check(model_type)


def test_enough_types_open() -> None:
    table = json.loads(TABLE.read_text("utf-8"))
    assert set(table) == {*TYPES, *WRAPPERS}
    assert sum("refused" not in table[t] for t in TYPES) >= 120


@pytest.mark.slow
@pytest.mark.parametrize("model_type", PLACES)
def test_the_places_are_those_that_a_person_reads_in_the_module_tree(model_type: str) -> None:
    arch = looked_at(model_type)
    assert isinstance(arch, Architecture)
    streams = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head")
    found = {
        stream: ("<" if site.side == "input" else ">") + site.module.replace("{l}", "{}")
        for stream, site in arch.sites.items()
        if stream in streams
    }
    assert found == PLACES[model_type]
