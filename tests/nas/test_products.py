"""Both rules against hand-written double backward, closed forms, and the order of their error."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.gradients import norm
from nas.products import exact, finite_difference


class SmoothProblem:
    """A two-layer network with tanh, whose hidden units are weighted by softmax(alpha)."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.first, self.second = nn.Parameter(draw(5, 6)), nn.Parameter(draw(6, 1))
        self.alpha = nn.Parameter(draw(6))
        self.inputs, self.targets = draw(16, 5), draw(16, 1)
        self.vector = [draw(5, 6), draw(6, 1)]
        self.weights = [self.first, self.second]

    def loss(self) -> Tensor:
        hidden = torch.tanh(self.inputs @ self.first) * self.alpha.softmax(0)
        return ((hidden @ self.second - self.targets) ** 2).mean()

    def product_by_hand(self) -> Tensor:
        """d/dalpha of (dL/dfirst . v1 + dL/dsecond . v2), as a loop over the entries of alpha.

        Row by row of the mixed second derivative: first d L/d alpha_i, then its slope along v.
        """
        (slopes,) = torch.autograd.grad(self.loss(), self.alpha, create_graph=True)
        rows = []
        for slope in slopes:
            parts = torch.autograd.grad(slope, self.weights, retain_graph=True)
            rows.append(sum((p * v).sum() for p, v in zip(parts, self.vector, strict=True)))
        return torch.stack(rows)


def relative_error(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).norm() / truth.norm())


def test_exact_product_is_double_backward_in_the_other_order() -> None:
    problem = SmoothProblem()
    (found,) = exact()(problem.loss, problem.weights, problem.vector, [problem.alpha])
    assert relative_error(found, problem.product_by_hand()) < 1e-12


def test_finite_difference_has_second_order_error() -> None:
    problem = SmoothProblem()
    truth = problem.product_by_hand()

    def error(radius: float) -> float:
        rule = finite_difference(radius)
        (found,) = rule(problem.loss, problem.weights, problem.vector, [problem.alpha])
        return relative_error(found, truth)

    errors = [error(radius) for radius in (1e-1, 1e-2, 1e-3)]
    assert errors[1] <= 1e-3
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert 80 < coarse / fine < 120


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
def test_finite_difference_does_not_depend_on_the_length_of_the_vector(length: float) -> None:
    problem = SmoothProblem()
    scaled = [length * part for part in problem.vector]
    rule = finite_difference(1e-3)
    (found,) = rule(problem.loss, problem.weights, scaled, [problem.alpha])
    assert relative_error(found, length * problem.product_by_hand()) < 1e-4


@given(a=st.floats(-2, 2), w=st.floats(-2, 2), v=st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3))
@settings(max_examples=25, deadline=None)
def test_both_rules_on_a_closed_form(a: float, w: float, v: float) -> None:
    """L = a^2 w^2 has d/da (dL/dw v) = 4 a w v; the central difference is exact on it."""
    alpha = nn.Parameter(torch.tensor(a, dtype=torch.float64))
    weight = nn.Parameter(torch.tensor(w, dtype=torch.float64))
    vector = [torch.tensor(v, dtype=torch.float64)]
    for rule in (exact(), finite_difference(1e-2)):
        (found,) = rule(lambda: (alpha * weight) ** 2, [weight], vector, [alpha])
        assert float(found) == pytest.approx(4 * a * w * v, abs=1e-9)


@pytest.mark.parametrize("rule", [exact(), finite_difference()])
def test_a_vector_of_zeros_gives_zeros(rule) -> None:
    problem = SmoothProblem()
    zeros = [torch.zeros_like(part) for part in problem.vector]
    (found,) = rule(problem.loss, problem.weights, zeros, [problem.alpha])
    assert torch.equal(found, torch.zeros_like(found))


@pytest.mark.parametrize("rule", [exact(), finite_difference()])
def test_a_loss_without_alpha_gives_zeros(rule) -> None:
    problem = SmoothProblem()
    (found,) = rule(
        lambda: (problem.first**2).sum(), [problem.first], [problem.vector[0]], [problem.alpha]
    )
    assert torch.equal(found, torch.zeros_like(found))


@pytest.mark.parametrize("rule", [exact(), finite_difference()])
def test_rules_leave_the_weights_bit_for_bit(rule) -> None:
    problem = SmoothProblem()
    before = [weight.detach().clone() for weight in problem.weights]
    rule(problem.loss, problem.weights, problem.vector, [problem.alpha])
    assert all(torch.equal(a, b) for a, b in zip(before, problem.weights, strict=True))
    assert all(weight.grad is None and weight.requires_grad for weight in problem.weights)


def test_finite_difference_sees_the_same_dropout_on_both_sides() -> None:
    """With independent masks the difference would be of the order of 1 / radius."""
    problem = SmoothProblem()

    def noisy_loss() -> Tensor:
        hidden = torch.nn.functional.dropout(torch.tanh(problem.inputs @ problem.first), 0.5)
        return (
            ((hidden * problem.alpha.softmax(0)) @ problem.second - problem.targets).square().mean()
        )

    def with_fixed_noise(rule) -> Tensor:
        torch.manual_seed(3)
        return rule(noisy_loss, problem.weights, problem.vector, [problem.alpha])[0]

    found, truth = with_fixed_noise(finite_difference(1e-3)), with_fixed_noise(exact())
    assert relative_error(found, truth) < 1e-4


def test_radius_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        finite_difference(0.0)


def test_norm_is_that_of_one_long_vector() -> None:
    assert float(norm([torch.tensor([3.0]), torch.tensor([[4.0]])])) == pytest.approx(5.0)


@pytest.mark.parametrize("rule", [exact(), finite_difference()])
@pytest.mark.parametrize("allowed", [True, False])
def test_passes_are_not_rounded_to_tf32(rule, allowed: bool) -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    problem, inside = SmoothProblem(), []

    class Watched(torch.autograd.Function):
        """The identity; tells the flags under which it is passed forward and backward."""

        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            inside.append(flags())
            return x.clone()

        @staticmethod
        def backward(ctx, slope: Tensor) -> Tensor:
            inside.append(flags())
            return Watched.apply(slope) if torch.is_grad_enabled() else slope

    before = flags()
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
        rule(
            lambda: Watched.apply(problem.loss()),
            problem.weights,
            problem.vector,
            [problem.alpha],
        )
        assert flags() == (allowed, allowed)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    assert len(inside) >= 3
    assert set(inside) == {(False, False)}


@pytest.mark.parametrize("rule", [exact(), finite_difference(1e-4)])
def test_passes_find_and_leave_the_buffers_as_they_were(rule) -> None:
    """L = c a^2 w^2 with a counter c of passes, 1 in each of them: product 4 a w v."""
    alpha = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    weight = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
    counter = nn.Module()
    counter.register_buffer("count", torch.zeros(1, dtype=torch.float64))

    def loss() -> Tensor:
        counter.count += 1
        return counter.count.item() * (alpha * weight) ** 2

    vector = [torch.tensor(2.0, dtype=torch.float64)]
    (found,) = rule(loss, [weight], vector, [alpha], [counter])
    assert float(found) == pytest.approx(4 * 0.5 * 3 * 2, rel=1e-6)
    assert float(counter.count) == 0
