"""`steerdsl chat`: talk to a model, without a steer and with one, side by side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from steerdsl.arguments import LARGEST_SEED
from steerdsl.cli import options as o

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions

Source = Annotated[str | None, typer.Argument(metavar="[RECIPE|RUN|PACK]", help="whose steers act", show_default=False)]


@o.run_options("sets", "model", "device", "dtype", "offline", "allow")
def chat(
    file: Source = None,
    *,
    chosen: RunOptions,
    steer: Annotated[
        str | None, typer.Option(help="the steer that acts first", show_default="the first", metavar="NAME")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="the most tokens of an answer", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token", min=0, max=2)] = 0.0,
    seed: Annotated[int, typer.Option(help="of answers that are sampled", min=0, max=LARGEST_SEED)] = 0,
) -> None:
    """Talk to a model: the answer without a steer and the steered one, side by side as they are made.

    Without a recipe it opens the default model as it is. In the conversation /help lists what there is: another
    steer, a param's other value, a system prompt, saving. Ctrl-C stops an answer, Ctrl-D ends the conversation.

    \b
    Example:
      steerdsl chat recipes/econ.steer --steer forgetful
      steerdsl chat runs/econ --temperature 0.7
    """
    from steerdsl.cli.chat_commands import ChatLoop
    from steerdsl.cli.chat_screen import Screen
    from steerdsl.cli.opening import opened
    from steerdsl.cli.progress import Progress
    from steerdsl.serving.conversation import Conversation

    with Progress(shown=True) as progress:
        steers = opened(file, chosen, progress)
        name = steer or next(iter(steers.names), None)
        if name is not None:
            steers.named(name)  # refused before the model is opened
        steers.session()
    weights = {} if name is None else {name: 1.0}
    talk = ChatLoop(file, chosen, Screen(sys.stdin), steers)
    with talk.open(lambda served, batcher: Conversation(served, batcher, weights, max_tokens, temperature, seed)):
        talk.run()
