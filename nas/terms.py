"""Losses that are sums of terms, whose gradients are taken one after the other.

The graph of a term is freed before the next one is computed, so that the largest term, and not
their sum, says how much memory a gradient takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, ParamSpec

from torch import Tensor

from nas.gradients import Gradient, filled, slopes_if_any

Given = ParamSpec("Given")


class ByTerms(Generic[Given]):
    """A loss as a function that yields its terms, scalars that share no graph.

    Called like any loss, it returns their sum.
    """

    def __init__(self, terms: Callable[Given, Iterator[Tensor]]) -> None:
        self.terms = terms

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Tensor:
        first, *others = self.terms(*args, **kwargs)
        return sum(others, start=first)


def terms_of(
    loss: Callable[Given, Tensor], *args: Given.args, **kwargs: Given.kwargs
) -> Iterator[Tensor]:
    """The terms of a loss, each computed when it is asked for; one of any other function."""
    if isinstance(loss, ByTerms):
        yield from loss.terms(*args, **kwargs)
    else:
        yield loss(*args, **kwargs)


def slopes_by_terms(
    terms: Iterator[Tensor],
    inputs: Sequence[Tensor],
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum of the terms, detached, and its derivative with respect to each input, if any.

    Args:
        terms: at least one.
        inputs: what to differentiate with respect to.
        within: context in which terms are computed; gradients are not.
    """
    value: Tensor | None = None
    slopes: list[Tensor | None] = [None] * len(inputs)
    while True:
        with within():
            term = next(terms, None)
        if term is None:
            assert value is not None
            return value, slopes
        slopes = list(map(_sum, slopes, slopes_if_any(term, inputs)))
        value = term.detach() if value is None else value + term.detach()


def gradient_by_terms(
    terms: Iterator[Tensor],
    inputs: Sequence[Tensor],
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> tuple[Tensor, Gradient]:
    """As `slopes_by_terms`, with zeros for inputs that no term depends on."""
    value, slopes = slopes_by_terms(terms, inputs, within)
    return value, filled(slopes, inputs)


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second
