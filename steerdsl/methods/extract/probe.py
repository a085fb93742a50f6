"""`probe`: the weights of a logistic regression between the classes.

In: every sample's activation. Out: a direction for each layer.
"""

from __future__ import annotations

from steerdsl.methods.contrast import layer_rows, require_samples, toward_positive
from steerdsl.methods.types import Activations, Directions, MethodError
from steerdsl.registry import Arg, Entry

TOLERANCE = 1e-10  # 1 - cosine to the optimum is below 1e-8, where scikit-learn's own 1e-4 gives up to 4e-3
STEPS = 10_000


def run(positive: Activations, negative: Activations, C: float = 1.0) -> Directions:
    """Standardise each feature, fit, map the weights back by 1/σ, normalise.

    `C` is scikit-learn's inverse strength of the ridge penalty. figures: the training accuracy.
    Raises MethodError with one sample in a class, a C that is not positive, or equal classes.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    require_samples("probe", positive, negative)
    if not C > 0:
        raise MethodError(f"C must be positive, not {C:g}", "leave it out for 1")
    labels = [1] * positive.n + [0] * negative.n
    axes, accuracy, unfinished = [], [], list[int]()
    for i in range(len(positive.mean)):
        rows = torch.cat([layer_rows(positive, i), layer_rows(negative, i)])
        spread = rows.std(0, correction=0)
        spread = spread.where(spread > 0, 1.0)
        standard = ((rows - rows.mean(0)) / spread).numpy()
        # scikit-learn divides the loss by C, and stops by the gradient of what is left.
        model = LogisticRegression(C=C, tol=TOLERANCE / max(1.0, C), max_iter=STEPS).fit(standard, labels)
        if model.n_iter_[0] >= STEPS:
            unfinished.append(i)
        w = torch.from_numpy(model.coef_[0]) / spread
        axes.append(w / w.norm().where(w.norm() > 0, 1.0))
        accuracy.append(float(model.score(standard, labels)))
    figures: dict[str, object] = {"accuracy": accuracy}
    if unfinished:
        places = ", ".join(map(str, unfinished))
        figures["warnings"] = [f"the fit had not settled after {STEPS} steps at row {places} of its layers"]
    return toward_positive(torch.stack(axes)[:, None], positive, negative, figures)


ENTRY = Entry(
    kind="extract",
    name="probe",
    summary="the weights of a logistic regression between the classes",
    when=(
        "Use it to detect a concept, for example in a condition. For steering compare it with `diffmean`: the best "
        "classifier's direction need not be the one that the model uses."
    ),
    run=run,
    args=(Arg("C", "number", 1.0, "inverse strength of the ridge penalty, as in scikit-learn", least=1e-9, most=1e9),),
    formula="w/σ, w = argmin ½‖w‖² + C Σ log(1 + exp(-y(w·z + b))), z = (h - μ)/σ",
    paper="Alain and Bengio 2016; Wu et al. 2025 (AxBench)",
    example="topic = extract probe from econ vs generic at last_token",
    needs=frozenset({"rows"}),
    version=2,
    aliases=("logistic", "logistic_regression", "logreg", "linear_probe", "lr", "classifier"),
)
