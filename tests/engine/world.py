"""A model with prompts and vectors, for the engine and for the hooks alike.

In: an opened model, and a second copy of it. Out: `World`, which makes operations from lines of
`cases`, and runs them on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from cases import PATCH, STREAMS
from formulas import Material, number, unit
from hooks import Steered, left_padded
from torch import Tensor

from steerdsl.engine.batch_edits import Acting, acting
from steerdsl.engine.capture import inputs
from steerdsl.engine.edits import Touch
from steerdsl.engine.generate import generate
from steerdsl.engine.likelihood import Reading, _steps, _Tail
from steerdsl.engine.operand_activations import patch_rows
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.engine.tracing import Session
from steerdsl.engine.values import Values
from steerdsl.lang import recipe as r
from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source
from steerdsl.methods.types import Directions, Plane, Vector
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.opened import Opened
from steerdsl.models.prompts import Rendered, Renderer
from steerdsl.planning.requests import Sampling
from steerdsl.store.results import Store

HALF = r.LayerPoint(0.5, share=True)
NAMES = (*STREAMS, "u", "two", "slanted")
ANSWERS = (
    " Prices rise when money grows faster than goods do.",
    " Hello!",
    " Bread is dear, for wheat was scarce.",
    " It is I, nobody else",
    " Emma; Middlemarch.",
)


@dataclass
class World:
    """A model with prompts and vectors. `model` is a second copy of the opened one that nnsight never
    saw, for the hooks; `family` is its row in `families`."""

    opened: Opened
    model: Any
    family: str
    texts: Sequence[str]
    on: str = "local"
    seed: int = 0
    memo: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def session(self) -> Session:
        return Session(self.opened, self.on)

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.opened.tokenizer)

    @cached_property
    def prompts(self) -> list[Rendered]:
        return [self.renderer.render(text) for text in self.texts]

    @cached_property
    def answered(self) -> list[Rendered]:
        """The prompts with answers of unequal length behind them."""
        tokens = [self.opened.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ANSWERS]
        return [replace(p, ids=(*p.ids, *tokens[i % len(tokens)])) for i, p in enumerate(self.prompts)]

    @property
    def ids(self) -> list[tuple[int, ...]]:
        return [p.ids for p in self.prompts]

    @cached_property
    def n_layers(self) -> int:
        return self.opened.arch.n_layers

    @cached_property
    def flow(self) -> dict[tuple[str, int], Tensor]:
        """What flows at each stream and layer without a steer: the prompts' real tokens, [T, d]."""
        where = [(s, layer) for s in self.opened.arch.streams for layer in range(self.n_layers)]
        ids, mask = left_padded(self.ids)
        kept, _ = Steered(self.model, self.family).read(ids, mask, where)
        return {key: h[mask].double() for key, h in zip(where, kept, strict=True)}

    @cached_property
    def material(self) -> Material:
        """Random directions, tilted toward the mean activation so that removing them matters."""
        draw = torch.Generator().manual_seed(self.seed)
        m = Material(sources={t: self.renderer.render(t).ids for t in (PATCH, "Why?")})
        for name in NAMES:
            stream = m.stream[name] = STREAMS.get(name, "resid_post")
            if stream not in self.opened.arch.streams:
                continue
            width, k = self.opened.arch.width(stream), 2 if name == "two" else 1
            rows = []
            for layer in range(self.n_layers):
                h = self.flow[stream, layer][:, :width]
                tilt = unit(h.mean(0)) if name != "u" else unit(h.mean(0).roll(1))
                directions = unit(unit(torch.randn(k, width, generator=draw, dtype=torch.float64)) + tilt)
                rows.append(directions.float().double() * h.norm(dim=-1).median())
            m.raw[name] = torch.stack(rows)
        shape = m.raw["v"].shape
        m.oblique["slanted"] = (
            (unit(m.raw["slanted"]) + 0.3 * torch.randn(shape, generator=draw, dtype=torch.float64)).float().double(),
            m.raw["u"][:, 0].float().double(),
        )
        m.means["generic"] = -m.raw["v"][:, 0].float().double()
        # Tokens lie on both sides of u, so that `adaptive` tells them apart.
        b1 = unit(m.raw["u"][number(HALF, self.n_layers), 0])
        b2 = unit(m.raw["v"][number(HALF, self.n_layers), 0])
        m.planes["p"] = b1, unit(b2 - (b2 @ b1) * b1)
        return m

    @cached_property
    def values(self) -> Values:
        """The same, as a run of the engine has it."""
        m = self.material
        values = Values(self.n_layers, planes={name: Plane(*axes) for name, axes in m.planes.items()})
        for name, raw in m.raw.items():
            readers, offset = m.oblique.get(name, (None, None))
            directions = Directions(
                unit(raw).float(),
                raw.norm(dim=-1),
                None if readers is None else readers.float(),
                None if offset is None else offset.float(),
            )
            mean, meta = m.means["generic"].float(), {"positive": "econ", "negative": "generic"}
            layers = torch.arange(self.n_layers)
            values.vectors[name] = Vector(name, directions, layers, m.stream[name], -mean, mean, meta)
        folder = self.memo["store"] = TemporaryDirectory()  # removed with the world
        run = SimpleNamespace(
            renderer=self.renderer,
            session=self.session,
            values=values,
            store=Store(Path(folder.name)),
            plan=SimpleNamespace(model=SimpleNamespace(arch=self.opened.arch), model_key=self.family),
        )
        values.patches = partial(patch_rows, run)
        return values

    def ops(self, line: str) -> tuple[r.Op, ...]:
        """The operations of a line of the table."""
        mark = r"\{(each )?(\w+)\(([^)]*)\)\}"
        line = re.sub(mark, lambda m: f"{self.threshold(m[2], m[3], bool(m[1])):.6f}", line)
        named = "\n".join(f'{name} = load "{name}.safetensors"' for name in NAMES if name != "v")
        fitted = "v = extract diffmean from econ vs generic at last_token"
        text = f"{fitted}\n{named}\np = plane(u[50%], v[50%])\nsteer s {{ {line} }}"
        recipe, report = check_source(Source("table.steer", text))
        assert recipe is not None, report.errors
        return next(step.ops for step in recipe.steps if isinstance(step, r.Steer))

    def threshold(self, kind: str, vector: str, each: bool) -> float:
        """The middle of the widest gap in the middle half of the figures of all tokens (`each`), or
        of the prompts' mean tokens."""
        half, (name, at) = number(HALF, self.n_layers), (vector.removesuffix("]") + "[").split("[")[:2]
        layer = number(r.LayerPoint(float(at.removesuffix("%")) / 100, True), self.n_layers) if at else half
        direction = self.material.planes["p"][0] if name == "p" else unit(self.material.raw[name][layer, 0])
        h = self.flow["resid_post" if name == "p" else self.material.stream[name], half]
        if not each:
            h = torch.stack([rows.mean(0) for rows in h.split([len(ids) for ids in self.ids])])
        figures = (h @ direction / (h.norm(dim=-1) if kind == "cos" else 1)).sort().values
        middle = figures[len(figures) // 4 : len(figures) - len(figures) // 4]
        widest = int(middle.diff().argmax())
        return float(middle[widest : widest + 2].mean())

    def acting(self, line: str) -> Acting | None:
        """A steer as it acts on rows of its own; the empty line is none."""
        return acting(self.ops(line), self.values, None, {}) if line else None

    def readings(self, line: str = "", before: tuple[int, ...] = ()) -> list[Reading]:
        """The texts of `answered`, with some tokens before each, under a steer."""
        steer = self.acting(line)
        texts = zip(self.answered, self.ids, strict=True)
        return [Reading((*before, *text.ids), len(before) + len(ids), steer) for text, ids in texts]

    def touches(self, line: str) -> list[Touch]:
        return compile_steer(self.ops(line), self.opened.arch, self.values)

    def steered(self, line: str) -> Steered:
        return Steered(self.model, self.family, self.ops(line), self.material)

    def captured(self, ids: Tensor, mask: Tensor, where: Sequence[tuple[str, int]], touches: Sequence[Touch]) -> Tensor:
        """What the engine reads at every real token of a batch, after the edits: float64 [R, T, d]."""
        sites = [self.opened.arch.read(stream, layer) for stream, layer in where]
        reads = [site.tap for site in sites]
        given = {"input_ids": ids, "attention_mask": mask.long()}
        return self.session.capture(given, reads, None, False, mask, touches)

    def logits(self, touches: Sequence[Touch], batch_size: int) -> list[Tensor]:
        """The logits that predict each token of the answers in `answered`: float32 [T, vocab] each."""
        found: list[Tensor] = []
        for batch in batches(self.answered, batch_size, pad_id(self.opened.tokenizer), order="given"):
            starts = [len(self.ids[i]) for i in batch.index]
            tail = _Tail(batch.mask.sum(-1).tolist(), starts)
            found += self.session.logits(inputs(batch), touches, _steps(batch, starts), tail)
        return found

    def engine_tokens(self, line: str, n: int, batch_size: int) -> list[list[int]]:
        """What the engine answers to each prompt, in order; the empty line is no steer."""
        touches = self.touches(line) if line else []
        batches = generate(self.session, self.prompts, touches, Sampling(n), batch_size)
        answers = sorted((a for batch in batches for a in batch), key=lambda a: a.prompt)
        return [list(a.token_ids) for a in answers]

    def hooks_tokens(self, line: str, n: int) -> list[list[int]]:
        """What the model answers under hooks, all prompts in one batch."""
        hooked = self.steered(line) if line else Steered(self.model, self.family)
        return hooked.generate(self.ids, n, self.opened.info.stop_ids)

    def unsteered(self, n: int) -> list[list[int]]:
        if n not in self.memo:
            self.memo[n] = self.hooks_tokens("", n)
        return self.memo[n]
