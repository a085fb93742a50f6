"""How fast extraction and steered generation are, as ratios within one run.

Compares steerdsl with bare forward passes, plain PyTorch hooks and plain unsteered transformers on
the default model. The competitors take turns in one process, so a machine whose speed drifts slows
all of them alike; the figure of a pair is the median of the ratios of each turn. Prints JSON.

    python benchmarks/speed.py --turns 7
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from steerdsl.data import load, rows
from steerdsl.engine.capture import capture, inputs
from steerdsl.engine.generate import generation_config
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.engine.tracing import Session
from steerdsl.engine.values import Values
from steerdsl.lang import recipe as r
from steerdsl.methods.types import Directions, Vector
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.catalog import locate
from steerdsl.models.opened import open_model
from steerdsl.models.prompts import Rendered, Renderer
from steerdsl.planning.requests import Sampling

TOKENS = 32
EXTRACTION_PROMPTS = 40


def main() -> None:
    """Time everything in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args()
    opened = open_model(locate(None), dtype=given.dtype)
    session = Session(opened)
    prompts = prompts_of(opened)
    out: dict[str, Any] = {"dtype": opened.info.dtype, "threads": torch.get_num_threads(), "turns": given.turns}
    out["extraction"] = _compare(extraction(session, prompts), "bare forward passes", given.turns)
    for batch in (1, 8):
        out[f"generation, batch {batch}"] = _compare(
            generation(session, prompts[:batch]), "plain transformers, unsteered", given.turns
        )
    print(json.dumps(out, indent=1))


def prompts_of(opened: Any) -> list[Rendered]:
    renderer = Renderer(opened.tokenizer)
    data = load(r.DataSpec("econ", "builtin", "econ"), root=Path())
    return [renderer.render(row.prompt) for row in rows(data, "all")[:EXTRACTION_PROMPTS]]


def _compare(runners: Mapping[str, Callable[[], Any]], base: str, turns: int) -> dict[str, Any]:
    """Seconds and the median ratio to `base` of each runner; one turn more is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(turns + 1):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {
        name: {
            "seconds": round(statistics.median(found), 4),
            "ratio": round(statistics.median(a / b for a, b in zip(found, seconds[base], strict=True)), 3),
        }
        for name, found in seconds.items()
    }


def extraction(session: Session, prompts: list[Rendered]) -> Mapping[str, Callable[[], Any]]:
    """All layers of one class, batch 8; the bare passes run the blocks without the output layer too."""
    model = session.opened.model
    made = [_placed(inputs(b), model) for b in batches(prompts, 8, pad_id(session.opened.tokenizer))]
    layers = range(session.opened.arch.n_layers)

    @torch.no_grad()
    def bare() -> None:
        for given in made:
            model.model(**given)

    @torch.no_grad()
    def hooks() -> None:
        kept: list[torch.Tensor] = []
        handles = [b.register_forward_hook(lambda m, a, o: kept.append(o[:, -1].double())) for b in model.model.layers]
        for given in made:
            model.model(**given)
        for handle in handles:
            handle.remove()

    @torch.no_grad()
    def hidden_states() -> None:
        for given in made:
            model.model(**given, output_hidden_states=True)

    return {
        "bare forward passes": bare,
        "steerdsl": lambda: capture(
            session, prompts, r.Position("last_token"), r.Stream("resid_post"), layers, batch_size=8
        ),
        "plain hooks": hooks,
        "output_hidden_states": hidden_states,
    }


def generation(session: Session, prompts: list[Rendered], tokens: int = TOKENS) -> Mapping[str, Callable[[], Any]]:
    """One direction ablated after three layers, and after every layer, at every token."""
    opened = session.opened
    n, d = opened.arch.n_layers, opened.arch.d_model
    unit = torch.nn.functional.normalize(torch.randn(n, 1, d, generator=torch.Generator().manual_seed(0)), dim=-1)
    norm = torch.ones(n, 1, dtype=torch.float64)
    vector = Vector("v", Directions(unit, norm), torch.arange(n), "resid_post")
    values = Values(n, {"v": vector})
    three = r.Layers(tuple(r.LayerPoint(x) for x in (6, 16, 22)))
    config = generation_config(opened, Sampling(tokens))
    config.min_new_tokens = tokens
    given = _placed(inputs(batches(prompts, len(prompts), pad_id(opened.tokenizer))[0]), opened.model)

    def steered(layers: r.Layers) -> Callable[[], Any]:
        touches = compile_steer([r.Op("ablate", r.VectorRef("v"), layers=layers)], opened.arch, values)
        return lambda: session.generate(given, touches, tokens, config)

    @torch.no_grad()
    def plain() -> None:
        opened.model.generate(**given, generation_config=config)

    @torch.no_grad()
    def hooks() -> None:
        handles = [b.register_forward_hook(_ablater(unit[i, 0])) for i, b in enumerate(opened.model.model.layers)]
        opened.model.generate(**given, generation_config=config)
        for handle in handles:
            handle.remove()

    return {
        "plain transformers, unsteered": plain,
        "steerdsl, 3 layers": steered(three),
        "steerdsl, every layer": steered(r.Layers()),
        "plain hooks, every layer": hooks,
    }


def _placed(given: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The inputs on the model's device."""
    device = next(model.parameters()).device
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in given.items()}


def _ablater(unit: torch.Tensor) -> Callable[..., torch.Tensor]:
    def hook(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        x, u = output.float(), unit.to(output.device)
        return (x - (x @ u)[..., None] * u).to(output.dtype)

    return hook


if __name__ == "__main__":
    main()
