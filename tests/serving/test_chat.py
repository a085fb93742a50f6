"""`steerdsl chat`, driven through a pipe and through a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from asking import RECIPE, alone
from calling import calls

from steerdsl.serving.steers import Steers

ROOT = Path(__file__).parents[2]
Chat = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chat(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Chat:
    """`chat(lines, words…)` in an empty folder with a recipe: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    Path("r.steer").write_text(RECIPE)
    call = calls(monkeypatch, capfd)
    model = ("--model", str(tiny_model), "--dtype", "float32", "--device", "cpu", "--max-tokens", "8")

    def talk(lines: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        return call("chat", *(words or ("r.steer",)), *model)

    return talk


def wanted(steers: Steers, text: str, steer: str | None) -> str:
    (ids,) = alone(steers, steers.run.renderer.render(text), steer, 8)
    return str(steers.session().opened.tokenizer.decode(ids, skip_special_tokens=True))


def saved(name: str = "talk.json") -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = json.loads(Path(name).read_text("utf-8"))["turns"]
    return found


def test_both_answers_are_those_of_a_run(chat: Chat, steers: Steers) -> None:
    code, out, err = chat("Why?\n/save talk.json\n", "r.steer", "--steer", "erased")
    assert code == 0, err
    (turn,) = saved()
    assert turn["answers"] == {"baseline": wanted(steers, "Why?", None), "steered": wanted(steers, "Why?", "erased")}
    assert "steers: pushed, erased, turned, asked, held; params: strength = 2; acting: erased" in out
    assert out.index("baseline: ") < out.index("erased: ")


def test_commands_change_what_acts(chat: Chat, steers: Steers) -> None:
    lines = ["Why?", "/save 1", "/steer turned", "/save 2", "/off", "/again", "/save 3", "/steer pushed=0.5", "/save 4"]
    lines += ["/set strength=1", "/steer pushed", "/save 5", "/steer held pushed", "/save 6"]
    code, _, err = chat("\n".join(lines) + "\n")
    assert (code == 0 and err == "") or "error" not in err
    base = wanted(steers, "Why?", None)
    answers = [saved(str(number))[0]["answers"] for number in range(1, 7)]
    assert answers[0] == {"baseline": base, "steered": wanted(steers, "Why?", "pushed")}
    assert answers[1] == {"baseline": base, "steered": wanted(steers, "Why?", "turned")}
    assert answers[2] == {"baseline": base}
    assert answers[3] == answers[4] != answers[0], "half of strength 2 is strength 1"
    assert answers[5]["steered"] != answers[4]["steered"]
    assert saved("5")[0]["params"] == {"strength": "1"} and saved("6")[0]["steer"] == {"held": 1, "pushed": 1}


def test_each_side_hears_its_own_earlier_answers(chat: Chat, steers: Steers) -> None:
    code, _, err = chat("/system Be brief.\nWhy?\nAnd then?\n/save talk.json\n")
    assert code == 0, err
    first, second = saved()
    tokenizer = steers.session().opened.tokenizer
    for side, steer in (("baseline", None), ("steered", "pushed")):
        talk = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": first["answers"][side]},
            {"role": "user", "content": "And then?"},
        ]
        ids = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)["input_ids"]
        prompt = replace(steers.run.renderer.render("x"), ids=tuple(ids))
        (answer,) = alone(steers, prompt, steer, 8)
        assert second["answers"][side] == tokenizer.decode(answer, skip_special_tokens=True)


def test_what_is_wrong_is_said_and_the_conversation_goes_on(chat: Chat) -> None:
    Path("there.json").write_text("mine")
    lines = ["/steer nope", "/steer pushed=much", "/steer held=0.5", "/set strenth=3", "/set strength=much", "/set x"]
    lines += [
        "/save",
        "/save there.json",
        "/save no/such/folder/x.json",
        "/again",
        "/bogus",
        "",
        "bread " * 200,
        "Why?",
    ]
    code, out, err = chat("\n".join(lines) + "\n/help\n/quit\nnever said\n")
    assert code == 0 and "Traceback" not in err
    for code_ in ("R901", "R902", "S216", "M611"):
        assert f"error[{code_}]" in err
    for said in ("`much` is not a number", "write /set strength=60%", "write /save talk.json", "exists already"):
        assert said in out
    assert "could not be written" in out and "nothing was said yet" in out and "no such command" in out
    assert Path("there.json").read_text() == "mine" and "baseline: " in out and "/system TEXT" in out


@pytest.mark.parametrize("line", ["/quit", "/quit now", "  /exit", "/quit\t"])
def test_quit_ends_it_whatever_stands_behind(chat: Chat, line: str) -> None:
    code, out, _ = chat(f"{line}\nWhy?\n")
    assert code == 0 and "baseline:" not in out and "no such command" not in out


def test_an_unknown_steer_ends_it_before_the_model_is_opened(chat: Chat) -> None:
    code, _, err = chat("", "r.steer", "--steer", "pushd")
    assert code == 2 and "error[R901]" in err and "did you mean `pushed`?" in err


def test_without_a_recipe_it_says_what_to_try(
    tiny_model: Path, chat: Chat, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Why?\n"))
    code, out, err = calls(monkeypatch, capfd)(
        "chat", "--model", str(tiny_model), "--dtype", "float32", "--max-tokens", "4"
    )
    assert code == 0, err
    assert "try `steerdsl chat recipes/econ.steer --steer forgetful`" in out and "baseline: " in out


def hearing() -> None:
    """Hear Ctrl-C, which a process that was started in the background ignores."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class TerminalTalk:
    """`steerdsl chat` with a terminal."""

    def __init__(self, *words: str) -> None:
        self.leader, follower = pty.openpty()
        command = [sys.executable, "-m", "steerdsl.cli.main", "chat", *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), follower)
        self.process = subprocess.Popen(command, env=env, preexec_fn=hearing, **streams)
        os.close(follower)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def until(self, text: str, seconds: float = 400) -> str:
        """What is printed until `text` is, which is taken out of what is looked at next."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.leader], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.leader, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        before, found, self.seen = self.seen.partition(text)
        assert found, before
        return before


def test_on_a_terminal_two_columns_grow(chat: Chat, tiny_model: Path) -> None:
    """Side by side under their titles; Ctrl-C stops an answer and Ctrl-D ends the conversation."""
    how = ("--model", str(tiny_model), "--dtype", "float32", "--device", "cpu")
    talk = TerminalTalk("r.steer", "--steer", "pushed", "--max-tokens", "40", *how)
    try:
        talk.until("/help lists the commands")
        talk.until("> ")
        talk.type("Why?\n/off\n")
        shown = talk.until("nothing is steered")
        assert re.search(r"baseline.* {10,}.*pushed", shown)
        assert shown.count("\x1b[2K") > 2, "it was drawn several times"
        time.sleep(1)  # until it asks for the next line
        talk.process.send_signal(signal.SIGINT)  # what the terminal makes of Ctrl-C
        talk.until("ends)")
        talk.type("/steer erased\n/off\n")
        talk.until("erased")
        talk.until("nothing is steered")
        talk.until("> ")
        time.sleep(1)  # until it asks: the end of a line that is not awaited yet would be lost
        talk.type("\x04")
        assert talk.process.wait(60) == 0
    finally:
        talk.process.kill()
        os.close(talk.leader)
