"""The tokens of a prompt at which activations are read, and what is made of them."""

from __future__ import annotations

from torch import Tensor

from steerdsl.eject.parts.answered import Prompt


def last_token(prompt: Prompt) -> range:
    """The last token of the prompt, the template's own included."""
    return range(len(prompt.ids) - 1, len(prompt.ids))


def token(prompt: Prompt, number: int) -> range:
    """One token, counted from 0, or from the end: -1 is the last."""
    index = number if number >= 0 else len(prompt.ids) + number
    if not 0 <= index < len(prompt.ids):
        raise SystemExit(f"row {prompt.row} has no token {number}: {prompt.words}")
    return range(index, index + 1)


def suffix(prompt: Prompt, number: int) -> range:
    """The last `number` tokens, each a sample of its own."""
    return range(len(prompt.ids) - number, len(prompt.ids))


def all_tokens(prompt: Prompt) -> range:
    """Every token, each a sample of its own."""
    return range(len(prompt.ids))


def mean_prompt(prompt: Prompt) -> range:
    """Every token of the prompt, to be averaged."""
    return range(len(prompt.ids))  # if: not answers
    return range(len(prompt.ids) - len(prompt.answer))  # if: answers


def mean_content(prompt: Prompt) -> range:
    """The user's own words, to be averaged."""
    return prompt.content


def mean_response(prompt: Prompt) -> range:
    """The answer that the data gives, to be averaged."""
    return prompt.answer


def each(h: Tensor, picked: Tensor) -> Tensor:
    """The picked tokens [B, S] of activations h, each a row: float64 [T, d]."""
    h = h.reshape(*picked.shape, -1)  # OPT flattens prompts and tokens into one axis
    return h[picked.to(h.device)].cpu().double()


def average(h: Tensor, picked: Tensor) -> Tensor:
    """The mean over the picked tokens [B, S] of each prompt's activations: float64 [B, d]."""
    h = h.reshape(*picked.shape, -1)  # OPT flattens prompts and tokens into one axis
    weights = picked.double()
    total = (weights[:, None, :] @ h.cpu().double()).squeeze(1)
    return total / weights.sum(dim=1, keepdim=True)
