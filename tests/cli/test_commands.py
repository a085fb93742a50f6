"""The quick commands: what they print, what they write and with which exit code they end."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from steerdsl import registry
from steerdsl.cli import main as cli
from steerdsl.cli.printing import print_diagnostics
from steerdsl.lang.diagnostics import Diagnostic, RecipeError

GOOD = "extract diffmean from econ vs generic at last_token; ablate layers 6,16,22; rotate plane(pc1) by 210deg"
BAD = "topic = extract diffmean form econ vs generic\nrotate turn to 210 deg\n"


def steerdsl(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = "") -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["steerdsl", *arguments])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


# ---- check ----


def test_check_says_that_a_recipe_is_right(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "check", "-e", GOOD) == 0
    assert capsys.readouterr().out == "1 recipe checked: no mistakes\n"


def test_check_prints_every_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "bad.steer"
    file.write_text(BAD)
    assert steerdsl(monkeypatch, "check", str(file)) == 1
    out = capsys.readouterr().out
    assert f"--> {file}:1:26" in out and f"--> {file}:2:16" in out
    assert out.endswith("\n\n1 recipe checked: 2 errors\n")


def test_check_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "check", "-", stdin=BAD) == 1
    assert "--> <stdin>:1:26" in capsys.readouterr().out


def test_check_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "check", "--json", "-e", "rotate plane(pc1) to 210 deg") == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "code": "S109",
            "severity": "error",
            "message": "a unit touches its number",
            "file": "-e",
            "line": 1,
            "column": 22,
            "end_line": 1,
            "end_column": 29,
            "notes": [],
            "help": "write `210deg`",
        }
    ]
    assert steerdsl(monkeypatch, "check", "--json", "-e", GOOD) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check_follows_use_inside_the_folder_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "common.steer").write_text('param depth = 25% "where"\n')
    (folder / "good.steer").write_text(f'use "common.steer"\n{GOOD.replace("6,16,22", "depth")}\n')
    assert steerdsl(monkeypatch, "check", str(folder / "good.steer")) == 0
    (tmp_path / "secret.steer").write_text("param depth = 25%\n")
    (folder / "link.steer").symlink_to(tmp_path / "secret.steer")
    (folder / "bad.steer").write_text(f'use "link.steer"\n{GOOD}\n')
    assert steerdsl(monkeypatch, "check", str(folder / "bad.steer")) == 1
    assert "a link leads out of the recipe's folder" in capsys.readouterr().out


FILES = """\
dataset a = "a.jsonl"
dataset b = "b.csv"
dataset h = "org/name"
v = extract diffmean from a vs b
w = load "w.gguf"
steer s {
    ablate v
    add w by 2 at layers 12
}
scores = evaluate s on econ, h with keyword_rate("topic.words.txt"), lm_eval("task.yaml")
"""


def test_check_looks_at_every_file_that_a_recipe_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "files.steer"
    file.write_text(FILES)
    assert steerdsl(monkeypatch, "check", str(file)) == 1
    out = capsys.readouterr().out
    names = ("a.jsonl", "b.csv", "w.gguf", "topic.words.txt", "task.yaml")
    assert [f"there is no file {name}" in out for name in names] == [True] * len(names)
    assert out.endswith("1 recipe checked: 5 errors\nnot looked at: h of the hub; `steerdsl plan` does\n")
    assert steerdsl(monkeypatch, "plan", str(file)) == 1
    assert capsys.readouterr().err.count("error[D501]") == 5
    for name in names:
        (tmp_path / name).write_text('{"prompt": "What?"}\n' if name == "a.jsonl" else "prompt\nWhat?\n")
    assert steerdsl(monkeypatch, "check", str(file)) == 0
    (tmp_path / "a.jsonl").write_text('{"prompt": 3}\n')
    assert steerdsl(monkeypatch, "check", str(file)) == 1
    assert "error[D509]: line 1 of a.jsonl" in capsys.readouterr().out


# ---- fmt ----


def test_fmt_rewrites_a_file_and_keeps_its_mode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "one.steer"
    file.write_bytes(b"ablate   layers 6 # here\r\n")
    file.chmod(0o640)
    assert steerdsl(monkeypatch, "fmt", str(file)) == 0
    assert file.read_bytes() == b"ablate at layers 6  # here\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert capsys.readouterr().out == f"{file}: formatted\n"
    assert steerdsl(monkeypatch, "fmt", str(file)) == 0
    assert capsys.readouterr().out == ""
    assert os.listdir(tmp_path) == ["one.steer"]


def test_fmt_writes_through_a_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "real.steer").write_text("ablate   layers 6")
    (tmp_path / "link.steer").symlink_to("real.steer")
    assert steerdsl(monkeypatch, "fmt", str(tmp_path / "link.steer")) == 0
    assert (tmp_path / "link.steer").is_symlink()
    assert (tmp_path / "real.steer").read_text() == "ablate at layers 6\n"


def test_fmt_check_prints_the_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "one.steer"
    file.write_text("edition 1; ablate layers 6")
    assert steerdsl(monkeypatch, "fmt", "--check", str(file)) == 1
    assert capsys.readouterr().out == (
        f"--- {file}\n+++ {file} (formatted)\n@@ -1 +1,2 @@\n"
        "-edition 1; ablate layers 6\n\\ no newline at the end\n+edition 1\n+ablate at layers 6\n"
    )
    assert file.read_text() == "edition 1; ablate layers 6"
    file.write_text("edition 1\n")
    assert steerdsl(monkeypatch, "fmt", "--check", str(file)) == 0


def test_fmt_goes_from_standard_input_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steerdsl(monkeypatch, "fmt", "-", stdin="ablate   layers 6") == 0
    assert capsys.readouterr().out == "ablate at layers 6\n"


def test_fmt_leaves_a_broken_recipe_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "bad.steer"
    file.write_text(BAD)
    assert steerdsl(monkeypatch, "fmt", str(file)) == 1
    assert file.read_text() == BAD
    streams = capsys.readouterr()
    assert streams.out == "" and "error[S121]" in streams.err


# ---- explain ----


def test_explain_shows_the_page_of_a_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "explain", "s109") == 0
    assert capsys.readouterr().out.startswith("# S109: a unit touches its number\n\nWrite a number and its unit")


def test_explain_shows_an_entry_of_the_registry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steerdsl(monkeypatch, "explain", "iterative") == 0
    out = capsys.readouterr().out
    assert out.startswith("# iterative, one of the methods of extraction\n")
    assert re.search(r"^- `k` \(int, at least 1; .*\): ", out, re.MULTILINE)


def test_explain_shows_a_statement(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "explain", "sweep") == 0
    assert registry.find("statement", "sweep").example in capsys.readouterr().out


def test_explain_lists_everything(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "explain") == 0
    out = capsys.readouterr().out
    assert "- `diffmean`: " in out and "- `S109`: a unit touches its number\n" in out and "- `rotate`: " in out


def test_explain_suggests(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "explain", "difmean") == 2
    assert "did you mean `diffmean`?" in capsys.readouterr().err


# ---- exit codes and what goes wrong ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "nothing.steer"), "nothing.steer could not be read: no such file or directory"),
        (("check", "."), ". could not be read: is a directory"),
        (("check",), "name a file, or `-` for standard input"),
        (("chekc", "x.steer"), "No such command 'chekc'. Did you mean 'check'?"),
        (("check", "--jsn"), "--jsn"),
    ],
)
def test_wrong_usage_ends_with_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert steerdsl(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err


def test_bytes_that_are_no_text_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.steer"
    file.write_bytes(b"edition 1\xff")
    assert steerdsl(monkeypatch, "check", str(file)) == 2
    assert "is not UTF-8 text (byte 9)" in capsys.readouterr().err


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def check() -> None:
        raise error

    monkeypatch.setattr(cli, "_load", lambda name: check)


def test_a_recipe_error_prints_its_diagnostics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, RecipeError([Diagnostic("M601", "no such model", help="name another")], exit_code=3))
    assert steerdsl(monkeypatch, "check") == 3
    assert capsys.readouterr().err == "error[M601]: no such model\nhelp: name another\n"


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert steerdsl(monkeypatch, "check") == 130


def test_a_bug_is_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("STEERDSL_TRACEBACK", raising=False)
    raising(monkeypatch, KeyError("lost"))
    assert steerdsl(monkeypatch, "check") == 3
    err = capsys.readouterr().err
    assert err.startswith("error: this is a bug in steerdsl: KeyError: 'lost'\n") and "Traceback" not in err


def test_a_bug_shows_its_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERDSL_TRACEBACK", "1")
    raising(monkeypatch, KeyError("lost"))
    monkeypatch.setattr(sys, "argv", ["steerdsl", "check"])
    with pytest.raises(KeyError, match="lost"):
        cli.main()


# ---- help, colour, speed ----


def test_help_lists_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert steerdsl(monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    for name, summary in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary[:40])}", out, re.MULTILINE)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_help_has_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert steerdsl(monkeypatch, name, "--help") == 0
    assert re.search(rf"Example:\n +steerdsl {name}\b", capsys.readouterr().out)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_adds_nothing_but_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    from steerdsl.lang.parse import parse
    from steerdsl.lang.source import Source

    found = parse(Source("bad.steer", BAD))[1].found
    plain, coloured, declined = io.StringIO(), Terminal(), Terminal()
    print_diagnostics(found, plain)
    print_diagnostics(found, coloured)
    assert "\x1b[1;31merror[S121]\x1b[0m" in coloured.getvalue()
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured.getvalue()) == plain.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    print_diagnostics(found, declined)
    assert declined.getvalue() == plain.getvalue()


def test_a_diagnostic_does_not_send_what_it_quotes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steerdsl(monkeypatch, "check", "-e", 'export "\x1b[2J" to "v.gguf"') == 1
    out = capsys.readouterr().out
    assert r'export "\x1b[2J"' in out and "\x1b" not in out


@pytest.mark.parametrize("arguments", [["--help"], ["check", "-e", GOOD], ["fmt", "--check", "-"], ["explain", "S109"]])
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom steerdsl.cli.main import main\n"
        f"sys.argv = ['steerdsl', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        "heavy = {'torch', 'numpy', 'transformers', 'nnsight', 'sklearn', 'matplotlib', 'rich', 'pygments'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input="", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
