"""A language for interventions on language models: check, plan and run recipes, open their runs, and steer models.

    import steerdsl

    found = steerdsl.run("recipe.steer", params={"strength": "60%"})
    found.scores, found.answers, found.vectors["topic"], found.folder

Nothing heavy is imported before one of these is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steerdsl.api import RecipeWarning, check, load, plan, run, steered
    from steerdsl.lang.diagnostics import RecipeError

    __version__: str

__all__ = ["RecipeError", "RecipeWarning", "__version__", "check", "load", "plan", "run", "steered"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    from importlib import import_module

    return getattr(import_module("steerdsl.lang.diagnostics" if name == "RecipeError" else "steerdsl.api"), name)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext steerdsl`: cells that begin with `%%steer` are recipes."""
    from steerdsl.notebook.magic import register

    register(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext steerdsl`."""
    shell.magics_manager.magics["cell"].pop("steer", None)
