"""What a person may say in a conversation besides words: the commands that begin with a slash.

In: lines. Out: answers, and a conversation whose steer, params and system prompt are as the commands say. The model is
opened once: another value of a param plans the recipe again, and what it computes is kept in the store.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.cli.chat_screen import Screen
from steerdsl.cli.opening import opened
from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.progress import Progress
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.variants import BASELINE
from steerdsl.methods.finite import NotFinite
from steerdsl.methods.types import MethodError
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.conversation import STEERED, Answering, Conversation
from steerdsl.serving.served import Served
from steerdsl.serving.steers import Steers
from steerdsl.store.files import write_text

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions

HELP = """\
/steer NAME          let this steer act; several at once, with weights: /steer forgetful=0.5 obsessed
/off                 let none act
/set NAME=VALUE      give a param of the recipe another value, and answer once more
/again               answer the last thing that was said once more
/system TEXT         talk with this system prompt, from the beginning; without a text, with the recipe's
/new                 begin a new conversation
/save FILE           save the conversation as JSON
/help                print this
/quit                end, as Ctrl-D does"""
TRY = "no recipe was named, so nothing is steered; try `steerdsl chat recipes/econ.steer --steer forgetful`"


class ChatLoop:
    """A conversation at a terminal or in a pipe."""

    def __init__(self, file: str | None, options: RunOptions, screen: Screen, steers: Steers) -> None:
        self.file, self.options, self.screen, self.steers = file, options, screen, steers
        self.session = steers.session()
        self.talk: Conversation
        self.commands: dict[str, Callable[[str], None]] = {
            **{"/steer": self.steer, "/off": self.off, "/set": self.set, "/again": self.again},
            **{"/system": self.system, "/new": self.new, "/save": self.save, "/help": self.help},
        }

    @contextmanager
    def open(self, begin: Callable[[Served, Batcher], Conversation]) -> Iterator[None]:
        """Begin the conversation, and let go of the model behind it."""
        self.talk = begin(Served(self.steers), self._batcher())
        try:
            yield
        finally:
            self.talk.batcher.close()

    def run(self) -> None:
        """Answer line after line, until there is none."""
        self._greet()
        while True:
            try:
                line = self.screen.line()
                if line is None or line.split(maxsplit=1)[:1] in (["/quit"], ["/exit"]):
                    return
                self.hear(line.strip())
            except KeyboardInterrupt:
                self.screen.say("(Ctrl-D or /quit ends)")

    def hear(self, line: str) -> None:
        """One line. What is wrong with it is printed, and the conversation goes on."""
        try:
            if line.startswith("/"):
                name, _, rest = line.partition(" ")
                self.commands.get(name, self._unknown)(rest.strip())
            elif line:
                self._show(self.talk.say(line))
        except RecipeError as error:
            print_diagnostics(error.diagnostics, sys.stderr)
        except (MethodError, NotFinite) as error:
            self.screen.say(f"{error.problem}; {error.way_out}")

    def steer(self, text: str) -> None:
        """`/steer NAME`, `/steer NAME=0.5 OTHER`."""
        if not text:
            self.screen.say(self._listed())
            return
        weights = {}
        for word in text.split():
            name, _, weight = word.partition("=")
            try:
                weights[name] = float(weight or 1)
            except ValueError:
                self.screen.say(f"`{weight}` is not a number; write /steer {name}=0.5")
                return
        self.steers.mixed(weights)
        self.talk.weights = weights
        self._once_more()

    def off(self, _: str) -> None:
        """`/off`."""
        self.talk.weights = {}
        self.screen.say("nothing is steered")

    def set(self, text: str) -> None:
        """`/set NAME=VALUE`."""
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            self.screen.say("write /set strength=60%")
            return
        options = replace(self.options, sets=(*self.options.sets, f"{name}={value}"))
        self.talk.batcher.close()  # one thread at a time has the model
        try:
            with Progress(shown=self.screen.live) as progress:
                steers = opened(self.file, options, progress, self.session)
            steers.mixed(self.talk.weights)
            self.options, self.steers = options, steers
            self.talk.served = Served(steers)
        finally:
            self.talk.batcher = self._batcher()
        self._once_more()

    def again(self, _: str) -> None:
        """`/again`."""
        answering = self.talk.again()
        if answering is None:
            self.screen.say("nothing was said yet")
        else:
            self._show(answering)

    def system(self, text: str) -> None:
        """`/system TEXT`."""
        before, self.talk.system = self.talk.system, text or None
        try:
            self.talk.served.conversation(
                [*([{"role": "system", "content": text}] if text else []), {"role": "user", "content": "Hello."}]
            )
        except RecipeError:
            self.talk.system = before
            raise
        self.talk.clear()
        self.screen.say("a new conversation begins" + (", with this system prompt" if text else ""))

    def new(self, _: str) -> None:
        """`/new`."""
        self.talk.clear()
        self.screen.say("a new conversation begins")

    def save(self, text: str) -> None:
        """`/save FILE`."""
        from steerdsl.show.door import json_text

        if not text:
            self.screen.say("write /save talk.json")
            return
        path = Path(text).expanduser()
        if path.exists():
            self.screen.say(f"{path} exists already, and is left as it is")
            return
        try:
            write_text(path, json_text(self.talk.to_json(), indent=1) + "\n")
        except (OSError, ValueError) as error:
            self.screen.say(f"{path} could not be written: {(getattr(error, 'strerror', None) or str(error)).lower()}")
        else:
            self.screen.say(f"saved in {path}")

    def help(self, _: str) -> None:
        """`/help`."""
        self.screen.say(HELP)

    def _unknown(self, _: str) -> None:
        self.screen.say("there is no such command; /help lists them")

    def _greet(self) -> None:
        if not self.steers.names:
            self.screen.say(TRY if self.file is None else "this recipe has no steer outside of its sweeps")
        else:
            self.screen.say(self._listed())
        self.screen.say("/help lists the commands")

    def _listed(self) -> str:
        params = ", ".join(f"{name} = {value}" for name, value in self.steers.run.plan.recipe.params.items())
        has = f"steers: {', '.join(self.steers.names) or 'none'}" + (f"; params: {params}" if params else "")
        return f"{has}; acting: {self.talk.title or 'none'}"

    def _once_more(self) -> None:
        """Answer the last thing that was said as things are now: the steered side, since the other is the same."""
        answering = self.talk.again((STEERED,) if self.talk.weights else None)
        if answering is None:
            self.screen.say(self._listed())
        else:
            self._show(answering)

    def _show(self, answering: Answering) -> None:
        """Print answers as they are made. Ctrl-C stops them; what was said so far stays."""
        answers = answering.turn.answers
        titles = {BASELINE: BASELINE, STEERED: self.talk.title}
        live = self.screen.growing()
        try:
            if live is None:
                self._wait(answering, None)
            else:
                with live:
                    self._wait(answering, lambda: live.update(self.screen.columns(_titled(answers, titles))))
        finally:
            ordered = {side: answers[side] for side in (BASELINE, STEERED) if side in answers}
            self.screen.answered(ordered, [titles[side] for side in ordered])

    def _wait(self, answering: Answering, grown: Callable[[], None] | None) -> None:
        while True:
            try:
                if not answering.next():
                    return
                if grown is not None:
                    grown()
            except KeyboardInterrupt:
                answering.cancel()

    def _batcher(self) -> Batcher:
        return Batcher(self.session, self.steers.run.plan.answer_rows)


def _titled(answers: dict[str, str], titles: dict[str, str]) -> dict[str, str]:
    sides: Sequence[str] = [side for side in titles if titles[side]]
    return {titles[side]: answers.get(side, "") for side in sides}
