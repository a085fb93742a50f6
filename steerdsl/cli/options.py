"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[str | None, typer.Argument(help="a recipe, or - for standard input", show_default=False)]
Text = Annotated[str | None, typer.Option("-e", help="the recipe itself, instead of a file", metavar="TEXT")]
Sets = Annotated[list[str], typer.Option("--set", help="give a param another value", metavar="NAME=VALUE")]
Model = Annotated[str | None, typer.Option(help="run on this model: a hub id or a folder", metavar="ID")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bf16 or fp16", show_default="auto")]
BatchSize = Annotated[int | None, typer.Option(help="prompts in one batch", min=1, show_default="16")]
Seed = Annotated[int | None, typer.Option(help="seed of every generation", show_default="the recipe's")]
On = Annotated[str, typer.Option(help="where the model runs: local, simulate or ndif")]
Host = Annotated[
    str | None, typer.Option(help="the NDIF server", show_default="NDIF_HOST, else nnsight's", metavar="URL")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="allow an NDIF server that is not encrypted")]
Offline = Annotated[bool, typer.Option("--offline", help="use no network")]
Allow = Annotated[list[Path], typer.Option("--allow", help="a folder that the recipe may read, besides its own")]
JudgeUrl = Annotated[
    str | None, typer.Option(help="an OpenAI-compatible endpoint, its key in STEERDSL_JUDGE_KEY", metavar="URL")
]
JudgeModel = Annotated[str | None, typer.Option(help="the model that the judge's endpoint is asked for", metavar="ID")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
