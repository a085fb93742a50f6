"""Whether a run has the judge that its recipe asks for, found out before anything runs."""

from __future__ import annotations

from steerdsl.engine.judge import key_name
from steerdsl.engine.safety import require_safe_judge
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.reads import needs
from steerdsl.plan.plan import Plan

BAD_USAGE = 2


def require_judge(plan: Plan) -> None:
    """Raise RecipeError R895 when an evaluation wants a judge's marks and the command line names none, R897
    when its address cannot be used."""
    every = [inner for s in plan.steps for inner in (s, *(s.points[0] if s.points else ()))]
    asking = [s.step for s in every if isinstance(s.step, r.Evaluate) and needs(s.step.metrics, "judge")]
    if not asking:
        return
    if plan.options.judge_url and plan.options.judge_model:
        require_safe_judge(plan.options.judge_url, key_name())
        return
    label = Label(plan.source, asking[0].span, "asks a judge for marks")
    help = "add --judge-url and --judge-model; its key is read from STEERDSL_JUDGE_KEY or OPENAI_API_KEY"
    title = "this recipe needs an LLM judge, and the command line names none"
    raise RecipeError([Diagnostic("R895", title, (label,), help=help)], BAD_USAGE)
