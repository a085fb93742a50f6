"""From a plan to the text of a standalone program.

In: a plan. Out: one Python file, or a RecipeError that names what it cannot hold.
"""

from __future__ import annotations

from importlib import metadata

from steerdsl.eject import literals, sites
from steerdsl.eject.program import Program, heading
from steerdsl.eject.steps import steps
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.lower.defaults import walk
from steerdsl.models.device import choose_device
from steerdsl.models.prompts import Renderer
from steerdsl.models.templates import calendar, reads_date
from steerdsl.planning import formatting
from steerdsl.planning.plan import Plan

PACKAGES = ("nnsight", "safetensors", "torch", "transformers")

DOCSTRING = '''\
"""An experiment that steers a language model, with nnsight and torch.

`steerdsl eject` wrote this file from the recipe below. Nothing in it needs steerdsl: its functions are
steerdsl's own, printed here. It reads from the top: the data, the model, what happens inside a forward
pass, how directions are made, what the operations do, how activations are read and answers generated, and
at the end the recipe, step by step. Scores, controls and plots are left to `steerdsl run`. Run this file by

    python recipe.py --model PATH --out DIR

PATH is a model's folder or its id on the hub (MODEL below unless you name another), DIR a
new folder. It gets generations.jsonl, a line for each answer, and vectors/.
"""'''

MAIN = '''\
def main() -> None:
    """Run the recipe from its data to the answers."""
    parser = argparse.ArgumentParser(description="Run the recipe above, step by step.")
    parser.add_argument("--model", default=MODEL, help="a folder, or an id on the hub")
    parser.add_argument("--device", default=DEVICE, help="cpu, cuda or mps")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    given = parser.parse_args()
    out = given.out
    if out.exists():
        raise SystemExit(f"{out} exists already; name another folder")
    model, tokenizer = load(given.model, given.device)
    (out / "vectors").mkdir(parents=True)'''
STEERED = """
    # When every answer of a batch ends early, the loop over forward passes is left waiting
    # for one that never comes. nnsight warns of that, and it is the usual end here.
    warnings.filterwarnings("ignore", message=".*was never reached.*")
    steers: dict[str, list[Touch]] = {"baseline": []}"""
END = """
    print(f"answers and vectors are in {out}")


if __name__ == "__main__":
    try:
        main()
    except MethodError as error:
        raise SystemExit(f"{error.problem}; {error.way_out}") from error"""


def program(plan: Plan) -> str:
    """The text of a Python file that does what `plan` does.

    Raises RecipeError: P721 for what no program can be written for, M610 for
    prompts that the model's template cannot render.
    """
    _require_no_search(plan)
    p, text = _written(plan)
    hidden = p.hidden(text)
    return _written(plan, hidden)[1] if hidden else text


def _require_no_search(plan: Plan) -> None:
    """Raise RecipeError P721 for a search: what comes after it waits for what it finds."""
    found = [step for step in plan.recipe.steps if isinstance(step, r.Tune)]
    if found:
        labels = tuple(Label(plan.source, step.span, "a search") for step in found)
        help = "write what the search has chosen in its place, as `steerdsl plan` shows it once it has run"
        raise RecipeError([Diagnostic("P721", "`eject` cannot write a search", labels, help=help)])


def _written(plan: Plan, own: frozenset[str] = frozenset()) -> tuple[Program, str]:
    """The program, and its text, in which no variable has a name of `own`."""
    p = Program(plan, _features(plan), own)
    spec = plan.recipe.model
    if spec.adapter is not None:
        p.refuse(spec.span, "an adapter on the model")
    if spec.quantization is not None:
        p.refuse(spec.span, "weights that are quantised on loading")
    body = list(steps(p, plan.steps))
    p.require_writable()
    p.use("load")
    p.imports |= {("argparse", ""), ("pathlib", "Path"), ("torch", "")}
    start = MAIN
    p.use("MethodError")
    if "steered" in p.features:
        p.imports.add(("warnings", ""))
        p.use("Touch")
        start += STEERED
    if p.streams:
        p.use("Architecture")
        p.use("BlockKind")
        p.use("Site")
        p.make("Where the streams are", "ARCH", sites.arch(plan.model.arch, p.streams))
    head = "\n\n\n".join([_settings(plan, "answers" in p.features), _data(p)])
    tail = "\n\n\n".join([heading("The recipe"), "\n".join([start, *body, END])])
    return p, p.text(f"{DOCSTRING}\n\n{_about(p)}", head, tail)


def _features(plan: Plan) -> set[str]:
    """What is known before the steps are written."""
    spec = plan.recipe.model
    mode = "raw" if plan.mode == "none" else plan.mode
    found = {mode}
    renderer = _renderer(plan)
    if renderer is not None and renderer.opening is not None:
        found.add("opening")
    if renderer is not None and renderer.switch:
        found.add("switched")
    if mode == "chat" and reads_date(plan.model.template):
        found.add("dated")
    if spec.system is not None:
        found.add("system" if renderer is None else renderer.role)
    if plan.batch_size is None:
        found.add("fitted")
    if plan.model.tokens is not None and plan.model.tokens.verbatim:
        found.add("verbatim")
    for step in walk(plan.recipe.steps):
        match step:
            case r.Steer():
                found.add("steered")
            case r.Generate(temperature=temperature, n=n) if temperature or n > 1:
                found.add("sampled")
            case r.Evaluate(options=options) if options.get("temperature") or options.get("n", 1) > 1:
                found.add("sampled")
    both = {"steered", "sampled"} & found
    found.add({0: "plain", 2: "edited_and_drawn"}.get(len(both), "drawn" if "sampled" in both else "edited"))
    return found


def _about(p: Program) -> str:
    """The recipe, what it was planned for, and what the program leaves out, as comments."""
    plan, model = p.plan, p.plan.model
    lines = [*literals.comment("The recipe:"), "#"]
    lines += literals.quoted(plan.source.text.strip())
    if plan.recipe.params:
        shown = ", ".join(f"{name} = {value}" for name, value in plan.recipe.params.items())
        lines += ["#", *literals.comment(f"with {shown}.")]
    size = f"{model.arch.family}, {model.arch.n_layers} layers of width {model.arch.d_model}"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    weights = model.located.weights_sha256
    sha = f", weights with sha256 {weights[:16]}…" if weights else ""
    lines += ["#", *literals.comment(f"Written for {model.located.id} ({size}{sha}).")]
    lines += literals.comment(f"With {versions} it gives steerdsl's own vectors and answers.")
    if plan.dtype != "float32":
        said = (
            f"In {plan.dtype} a token may differ: rounding depends on what shares a batch, which here is one variant."
        )
        lines += literals.comment(said)
    if p.left:
        lines += ["#", *literals.comment(f"Left out here, and done by `steerdsl run`: {'; '.join(p.left)}.")]
    return "\n".join(lines)


def _renderer(plan: Plan) -> Renderer | None:
    """How prompts are rendered, where the tokenizer is here. Refuses what `run` would refuse."""
    return None if plan.model.tokenizer is None else Renderer.of(plan.recipe.model, plan.model.tokenizer)


def _settings(plan: Plan, answers: bool) -> str:
    """The constants that the definitions read."""
    located, spec = plan.model.located, plan.recipe.model
    folder = located.source == "folder"
    rows = plan.batch_size or max((batch.rows for s in plan.steps for batch in s.shared.values()), default=1)
    lines = [
        heading("Settings"),
        "",
        f"MODEL = {literals.text(str(located.path) if folder else located.id)}",
        f"REVISION = {literals.literal(located.revision if located.source == 'hub' else None)}",
        f"DEVICE = {literals.text(str(choose_device(plan.options.device)))}",
        "# The model's number format. Statistics are made in float64 and edits in float32.",
        f"DTYPE = torch.{plan.dtype}",
        "# The most answers that are made at once.",
        f"BATCH_SIZE = {rows}",
        f"N_LAYERS = {plan.model.arch.n_layers}",
        "# An answer ends at the first of these tokens; the other one fills rows up.",
        f"END_IDS = {literals.literal(plan.model.stops.end)}",
        f"PAD_ID = {plan.model.stops.pad}",
    ]
    if spec.template == "chat" and plan.model.template and reads_date(plan.model.template):
        lines.append("# What makes the chat template write the same date on every day.")
        lines.append(f"CALENDAR = {literals.text(calendar(plan.model.template))}")
    renderer = _renderer(plan)
    if answers and renderer is not None and renderer.opening is not None:
        lines.append("# What the chat template writes between its prompt and an answer.")
        lines.append(f"OPENING = {literals.text(renderer.opening)}")
    if renderer is not None and renderer.switch:
        lines.append("# The chat template's own setting for thinking.")
        lines.append(f"SWITCH = {literals.literal(dict(renderer.switch))}")
    if spec.system is not None:
        lines.append(f"SYSTEM = {literals.text(spec.system)}")
    return "\n".join(lines)


def _data(p: Program) -> str:
    """The rows that the steps see, by their numbers in the data set."""
    parts = []
    for name, (ref, rows) in p.data.items():
        reason = f" ({ref.reason})" if ref.reason else ""
        lines = literals.comment(
            f"{formatting.count(len(rows), 'prompt')} of {formatting.data(ref)}{reason}, by row number."
        )
        lines.append(f"{name} = {{")
        for sample in rows:
            if "answers" in p.features:
                both = [literals.text(sample.prompt), literals.literal(sample.response)]
                lines += [f"    {sample.row.index}: (", *(f"        {text}," for text in both), "    ),"]
            else:
                lines.append(f"    {sample.row.index}: {literals.text(sample.prompt)},")
        parts.append("\n".join([*lines, "}"]))
    return "\n\n".join([heading("The data"), *parts])
