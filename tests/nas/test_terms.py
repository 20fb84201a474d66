"""Losses by terms: the same sum and gradient as in one, with one graph at a time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from nas.products import Product, exact, finite_difference
from nas.terms import ByTerms, gradient_by_terms, slopes_by_terms, terms_of

W = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
A = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
UNUSED = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)


def three_terms() -> Iterator[Tensor]:
    yield (A * W**3).sum()
    yield 2 * W.prod()
    yield A.prod() * W.sum()


def test_the_loss_is_the_sum_of_its_terms() -> None:
    assert ByTerms(three_terms)().item() == -7.5 + 4 - 1.5


def test_a_function_has_one_term() -> None:
    assert [term.item() for term in terms_of(lambda x: 2 * x, torch.tensor(3.0))] == [6]


def test_gradients_are_those_of_the_sum() -> None:
    value, slopes = gradient_by_terms(terms_of(ByTerms(three_terms)), [W, A, UNUSED])
    assert value.item() == -5 and not value.requires_grad
    # d/dW: 3 A W^2 + 2 (W1, W0) + A0 A1;  d/dA: W^3 + (W0 + W1) (A1, A0)
    assert slopes[0].tolist() == [1.5 + 4 - 0.5, -12 + 2 - 0.5]
    assert slopes[1].tolist() == [1 - 3, 8 + 1.5]
    assert slopes[2].tolist() == [0]


def test_inputs_that_no_term_knows_have_no_slope() -> None:
    _, slopes = slopes_by_terms(three_terms(), [UNUSED, W])
    assert slopes[0] is None and slopes[1] is not None


def test_one_graph_lives_at_a_time() -> None:
    graphs: list[weakref.ref[Tensor]] = []

    def terms() -> Iterator[Tensor]:
        for factor in (1.0, 2.0, 3.0):
            gc.collect()
            assert all(graph() is None for graph in graphs[:-1])
            inner = (factor * W).exp()
            graphs.append(weakref.ref(inner))
            yield inner.square().sum()
            del inner

    gradient_by_terms(terms(), [W])
    assert len(graphs) == 3


def test_terms_and_not_gradients_are_in_the_context() -> None:
    told: list[str] = []

    class Context:
        def __enter__(self) -> None:
            told.append("in")

        def __exit__(self, *error: object) -> None:
            told.append("out")

    def terms() -> Iterator[Tensor]:
        told.append("term")
        x = W * 2
        x.register_hook(lambda slope: told.append("gradient"))
        yield x.sum()

    gradient_by_terms(terms(), [W], Context)
    assert told == ["in", "term", "out", "gradient", "in", "out"]


@pytest.mark.parametrize("product", [finite_difference(1e-6), exact()])
def test_products_are_those_of_the_sum(product: Product) -> None:
    vector = [torch.tensor([0.3, -0.7], dtype=torch.float64)]
    (found,) = product(ByTerms(three_terms), [W], vector, [A])
    # d/dA of grad_W L . v = 3 W^2 v + (A1, A0) (v0 + v1)
    assert torch.allclose(found, torch.tensor([0.9 + 0.4, -8.4 - 0.2], dtype=torch.float64))
