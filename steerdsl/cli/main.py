"""The command line: finds the command asked for and turns what goes wrong into an exit code.

In: the arguments. Out: exit code 0 ok, 1 invalid recipe, 2 usage, 3 run failed, 4 a `check` failed,
130 interrupted. Only the module of the command asked for is imported, so that quick commands are quick.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any

import typer

from steerdsl.cli.cores import share_cores
from steerdsl.lang.diagnostics import Exit, RecipeError
from steerdsl.show.door import doors

# A command NAME is the function NAME of steerdsl/cli/NAME.py; its docstring is its help.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "check": "Report every mistake in a recipe.",
        "plan": "Print every step of a recipe with all defaults filled in.",
        "run": "Run a recipe and leave a record.",
        "chat": "Talk to a model with and without a steer.",
        "serve": "Serve a model and its steers over HTTP.",
        "view": "Look at runs in a browser.",
        "report": "Rebuild the report of a run.",
        "lock": "Pin everything that a recipe's numbers depend on.",
        "show": "Print a finished run from its directory.",
        "diff": "Compare two runs.",
        "verify": "Repeat a recorded run and compare the results.",
        "pack": "Put a recipe, its data and its run into one file.",
        "unpack": "Write the files of a pack into a folder.",
        "push": "Publish a pack on the model hub.",
        "pull": "Download a pack from the model hub.",
        "parity": "Run a recipe locally and on a server, and compare.",
        "eject": "Turn a recipe into a standalone Python program.",
        "fmt": "Format recipes in the standard layout.",
        "explain": "Explain a diagnostic code or a word of the language.",
        "models": "List the models on this machine, or download one.",
        "store": "List, measure, prune or verify stored results.",
    }
)


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    share_cores()
    _open_streams()
    with doors():
        _main(sys.argv[1:])


def _main(arguments: Sequence[str]) -> None:
    try:
        if sys.stderr.isatty():
            from steerdsl.cli.progress import announce

            announce(arguments)
        application(arguments)(prog_name="steerdsl")
    except RecipeError as error:
        from steerdsl.cli.printing import print_diagnostics, print_failure

        if "--json" in arguments:
            print_failure(error.diagnostics, sys.stdout)
        print_diagnostics(error.diagnostics, sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        from steerdsl.cli.printing import print_diagnostics
        from steerdsl.running.ending import machine

        if refused := machine(error):
            print_diagnostics(refused.diagnostics, sys.stderr)
            sys.exit(refused.exit_code)
        if os.environ.get("STEERDSL_TRACEBACK") == "1":
            raise
        print(f"error: this is a bug in steerdsl: {type(error).__name__}: {error}", file=sys.stderr)
        print("help: report it with what STEERDSL_TRACEBACK=1 prints", file=sys.stderr)
        sys.exit(Exit.FAILED)


def _open_streams() -> None:
    """Give a process that was started with closed outputs some that lead nowhere, and let text that a
    terminal's encoding lacks be printed as escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (for the whole process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def application(arguments: Sequence[str]) -> typer.Typer:
    """Return the typer application; of its commands only the one in `arguments` is loaded."""
    app = typer.Typer(
        name="steerdsl",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        app.command(name, short_help=summary)(_load(name) if name == wanted else _unloaded)
    return app


HELP = """Write, run and share interventions on language models.

\b
Example:
  steerdsl check recipes/econ.steer
  steerdsl run recipes/econ.steer
  steerdsl chat recipes/econ.steer --steer forgetful
  steerdsl serve recipes/econ.steer
  steerdsl view
  steerdsl explain S304
"""


def _load(name: str) -> Callable[..., Any]:
    command: Callable[..., Any] = getattr(import_module(f"steerdsl.cli.{name}"), name)
    return command


def _unloaded() -> None:
    """Stand for a command that was not asked for: only its line in the help is shown."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("steerdsl"))
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options before the command."""


if __name__ == "__main__":
    main()
