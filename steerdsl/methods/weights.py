"""Edits of a model's weights that equal an ablation or an addition of its activations.

In: a transformers model and directions. Out: a `WeightEdit`, the changed tensors by name and what they equal; the model
is not touched until `write`. Which parameters write a stream is found on a small copy of the architecture and proved
there (`models.writers`). Refused, with the reason, wherever no edit would be exact: norms between write and stream,
quantised weights, layouts that have no place for a bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from steerdsl.methods.errors import MethodError
from steerdsl.methods.ops.ablate import basis

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.written import Shift, WriteSite

Model: TypeAlias = Any  # transformers.PreTrainedModel, whose attributes depend on the architecture
INSTEAD = "run the steer on the model instead of exporting it"


@dataclass(frozen=True, slots=True)
class WeightEdit:
    """Changed parameters by their names in the state dict, fields of the text config that go with them, whether the
    output side of tied embeddings is now apart, and in words what the edited model equals."""

    tensors: Mapping[str, Tensor]
    equals: str
    config: Mapping[str, Any] = field(default_factory=dict)
    untied: bool = False


def ablate_weights(model: Model, at: Mapping[WriteSite, Tensor], share: float = 1.0) -> WeightEdit:
    """W' = (I - share·QᵀQ)W and b' = (I - share·QᵀQ)b for every matrix that writes at some places.

    at: rows [k, d] for each place; those of `everywhere` make the edit equal to ablation everywhere. Q is an
    orthonormal basis of the rows. Computed in float64, kept in the weights' dtype, so that what is left is the rounding
    of that dtype. Tied embeddings are untied, since the output side must stay as it is. Source: Arditi et al. 2024,
    section 4.1. Raises MethodError where it would not be exact.
    """
    tensors: dict[str, Tensor] = {}
    for place, rows in at.items():
        q = basis(rows)
        for name, weight, axis in matrices(model, place):
            tensors[name] = _without(weight, q, share, axis)
    whole = set(at) == set(everywhere(model))
    where = "everywhere" if whole else "at " + ", ".join(f"{stream} {layer}" for stream, layer in at)
    untied = untie(model, tensors)
    return WeightEdit(tensors, f"ablate {where}" + (f" by {share:.0%}" if share != 1.0 else ""), untied=untied)


def add_bias(model: Model, layer: int, v: Tensor, stream: str = "resid_post") -> WeightEdit:
    """`v` [d] as a step of the bias (or of the embeddings) that shifts `stream` of `layer` alike at every token.

    Raises MethodError where the architecture has no place for it.
    """
    found = carrier(model.config, stream, layer)
    names = found.part.names(model)
    new = _added(model, found.settings) if found.settings else {}
    tensors = dict(new)
    step = v.double() / found.factor
    for name in names:
        old = new[name] if name in new else _loaded(model, name)
        shape = [-1 if axis == found.part.axis else 1 for axis in range(old.ndim)]
        tensors[name] = (old.double() + step.to(old.device).reshape(shape)).to(old.dtype)
    equals = f"add on {stream} at layer {layer}, at every token"
    return WeightEdit(tensors, equals, dict(found.settings), untie(model, tensors))


def carrier(config: Any, stream: str, layer: int) -> Shift:
    """What carries an addition in the model of a config. Raises MethodError where nothing does."""
    from steerdsl.models.carriers import carrier as found

    if stream == "head":
        raise MethodError("an addition on one head is not a bias of a model", "add on attn_out or resid_post")
    if stream == "resid_pre" and layer > 0:
        stream, layer = "resid_post", layer - 1
    with _stated(config):
        return found(config, ("attn_out" if stream == "resid_mid" else stream, layer))


def everywhere(model: Model) -> tuple[WriteSite, ...]:
    """Every place where a model writes to its residual stream, the embeddings first."""
    from steerdsl.models.architecture import architecture

    return architecture(model.config).everywhere()


def require_writers(config: Any, place: WriteSite) -> None:
    """Raise MethodError where no weights of a config's model write at a place in a way that an edit can carry."""
    from steerdsl.models.carriers import writing

    with _stated(config):
        writing(config).parts(place)


@contextmanager
def _stated(config: Any) -> Iterator[None]:
    """What the small copy of a model refuses, as a MethodError."""
    from steerdsl.lang.diagnostics import RecipeError
    from steerdsl.models.unsteerable import Unsteerable

    try:
        yield
    except (Unsteerable, RecipeError) as error:
        reason = error.reason if isinstance(error, Unsteerable) else error.diagnostics[0].title
        raise MethodError(f"a {config.model_type} checkpoint cannot carry it: {reason}", INSTEAD) from error


def matrices(model: Model, place: WriteSite) -> list[tuple[str, Tensor, int]]:
    """Each parameter that writes at a place: its name, its values, and the axis along which the stream lies.
    Raises MethodError where they are unknown, quantised or not loaded."""
    from steerdsl.models.carriers import writing

    require_writers(model.config, place)
    parts = writing(model.config).parts(place)
    return [(name, _loaded(model, name), part.axis) for part in parts for name in part.names(model)]


def write(model: Model, edit: WeightEdit) -> None:
    """Put an edit into the model, in place, so that it runs and saves as edited. What was one parameter under several
    names, as layers share them, stays one where it is edited alike."""
    import torch

    made: dict[int, torch.nn.Parameter] = {}
    for name, tensor in edit.tensors.items():
        parent, _, leaf = name.rpartition(".")
        module = model.get_submodule(parent)
        old = getattr(module, leaf)
        new = made.get(id(old)) if old is not None else None
        if new is None or not torch.equal(new, tensor):
            new = torch.nn.Parameter(tensor, requires_grad=old is not None and old.requires_grad)
        made.setdefault(id(old), new)
        setattr(module, leaf, new)
    for key, value in edit.config.items():
        setattr(model.config.get_text_config(), key, value)
    if edit.untied:
        for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
            config.tie_word_embeddings = False
        # Without tied embeddings transformers ties nothing when it loads, so each name gets a tensor of its own.
        for name in model.all_tied_weights_keys:
            parent, _, leaf = name.rpartition(".")
            own = torch.nn.Parameter(model.get_parameter(name).detach().clone())
            setattr(model.get_submodule(parent), leaf, own)
        model.all_tied_weights_keys = {}


def _loaded(model: Model, name: str) -> Tensor:
    """The parameter's values. MethodError when they are quantised or not in memory."""
    import torch

    try:
        tensor: Tensor = model.get_parameter(name).detach()
    except AttributeError as error:
        raise MethodError(f"{name} is no plain weight: the model is quantised", "load it unquantised") from error
    plain = type(tensor) is torch.Tensor and tensor.is_floating_point() and tensor.element_size() >= 2
    if not plain or tensor.is_meta:
        state = "not loaded" if tensor.is_meta else f"quantised ({tensor.dtype})"
        raise MethodError(f"{name} is {state}, so it cannot be edited exactly", "load the model whole and unquantised")
    return tensor


def _without(weight: Tensor, q: Tensor, share: float, axis: int) -> Tensor:
    w, q = weight.double().movedim(axis, -1), q.to(weight.device)
    return (w - share * ((w @ q.T) @ q)).movedim(-1, axis).contiguous().to(weight.dtype)


def untie(model: Model, tensors: dict[str, Tensor]) -> bool:
    """Keep the output side of tied embeddings as it was, in `tensors`; say whether there was one."""
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if weight is None or all(model.get_parameter(name) is not weight for name in tensors if _has(model, name)):
        return False
    name = next(name for name, module in model.named_modules() if module is head)
    if f"{name}.weight" in tensors:  # the output side has another name, and is no writer
        return False
    tensors[f"{name}.weight"] = weight.detach().clone()
    return True


def _has(model: Model, name: str) -> bool:
    parent, _, leaf = name.rpartition(".")
    return leaf in model.get_submodule(parent)._parameters and getattr(model.get_submodule(parent), leaf) is not None


def _added(model: Model, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Zeros for every parameter that the model has only with other settings."""
    import torch

    from steerdsl.models.carriers import with_settings
    from steerdsl.models.small import model_class

    changed = with_settings(model.config, settings)
    with torch.device("meta"):
        wanted = dict(model_class(changed).from_config(changed).named_parameters())
    like = next(iter(model.parameters()))
    return {
        name: torch.zeros(parameter.shape, dtype=like.dtype, device=like.device)
        for name, parameter in wanted.items()
        if not _has(model, name)
    }
