"""What the discriminator sees: exact values, gradients, and the moments of the noise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from nas.cues import CUES, hardened, new_cue
from nas.traceless import same_noise

CLASSES = 3
EVERY = pytest.mark.parametrize("name", CUES)


@pytest.fixture
def probabilities() -> Tensor:
    return torch.randn(2, CLASSES, 5, 7).softmax(dim=1)


@pytest.fixture
def truth() -> Tensor:
    labels = torch.randint(0, CLASSES, (2, 5, 7))
    return one_hot(labels, CLASSES).movedim(-1, 1).float()


@pytest.mark.parametrize("name", ["probabilities", "smoothed", "noised"])
def test_predictions_are_seen_as_they_are(name: str, probabilities: Tensor) -> None:
    assert torch.equal(new_cue(name, 0.3).prediction(probabilities), probabilities)


@pytest.mark.parametrize("name", ["probabilities", "straight-through"])
def test_truths_are_seen_as_they_are(name: str, truth: Tensor) -> None:
    assert torch.equal(new_cue(name, 0.3).truth(truth), truth)


def test_straight_through_shows_exactly_the_most_probable_class() -> None:
    """Exactly: that a sum is one-hot but for rounding would be a sign to tell fakes by."""
    probabilities = torch.randn(4, CLASSES, 40, 40).softmax(dim=1)
    seen = new_cue("straight-through", 0.0).prediction(probabilities)
    for image in range(2):
        for row in range(5):
            for column in range(5):
                pixel = probabilities[image, :, row, column].tolist()
                expected = [float(value == max(pixel)) for value in pixel]
                assert seen[image, :, row, column].tolist() == expected
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(seen.sum(dim=1), torch.ones(4, 40, 40))


def test_straight_through_has_the_gradient_of_the_probabilities(probabilities: Tensor) -> None:
    slope = torch.randn_like(probabilities)
    probabilities.requires_grad_()
    seen = new_cue("straight-through", 0.0).prediction(probabilities)
    (gradient,) = torch.autograd.grad((slope * seen).sum(), probabilities)
    assert torch.equal(gradient, slope)


def test_a_tie_has_one_winner() -> None:
    assert hardened(torch.full((1, 2, 1, 1), 0.5)).flatten().tolist() == [1.0, 0.0]


def test_smoothed_truths_are_spread_over_all_classes() -> None:
    truth = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])[None, :, None]
    seen = new_cue("smoothed", 0.2).truth(truth)
    expected = [[0.05, 0.85], [0.85, 0.05], [0.05, 0.05], [0.05, 0.05]]
    assert torch.allclose(seen[0, :, 0], torch.tensor(expected))


@pytest.mark.parametrize("name", ["smoothed", "noised"])
def test_at_no_strength_truths_are_seen_as_they_are(name: str, truth: Tensor) -> None:
    assert torch.equal(new_cue(name, 0.0).truth(truth), truth)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_seen_is_a_distribution(
    name: str, dtype: torch.dtype, truth: Tensor, probabilities: Tensor
) -> None:
    cue = new_cue(name, 1.0)
    for seen in (cue.truth(truth.to(dtype)), cue.prediction(probabilities.to(dtype))):
        assert seen.dtype == dtype
        assert seen.shape == truth.shape
        assert (seen >= 0).all()
        assert torch.allclose(seen.sum(dim=1), torch.ones_like(seen[:, 0]))


def test_noise_has_the_moments_of_its_definition() -> None:
    """u uniform in (0, s): E u = s/2, E u^2 = s^2/3. r uniform on the simplex: E r = 1/K,
    E r^2 = 2 / (K (K + 1)), E r_i r_j = 1 / (K (K + 1))."""
    strength, classes = 0.6, 4
    truth = torch.zeros(1, classes, 500, 500, dtype=torch.float64)
    truth[:, 0] = 1
    seen = new_cue("noised", strength).truth(truth)[0]
    first, square = strength / 2, strength**2 / 3
    others = classes * (classes + 1)
    assert float(seen[0].mean()) == pytest.approx(1 - first + first / classes, abs=2e-3)
    for channel in range(1, classes):
        assert float(seen[channel].mean()) == pytest.approx(first / classes, rel=0.01)
        assert float(seen[channel].square().mean()) == pytest.approx(square * 2 / others, rel=0.02)
    assert float((seen[1] * seen[2]).mean()) == pytest.approx(square / others, rel=0.02)
    assert float(seen[0].min()) >= 1 - strength


def test_noise_is_drawn_for_each_pixel() -> None:
    truth = torch.zeros(2, 2, 200, 200)
    truth[:, 0] = 1
    seen = new_cue("noised", 0.5).truth(truth)[:, 1]
    pairs = [
        (seen[:, 1:], seen[:, :-1]),
        (seen[:, :, 1:], seen[:, :, :-1]),
        (seen[0], seen[1]),
    ]
    for one, other in pairs:
        both = torch.stack([one.flatten(), other.flatten()])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 0.03


def test_noise_is_new_at_each_look_and_the_same_where_the_random_state_is(truth: Tensor) -> None:
    cue = new_cue("noised", 0.5)
    with same_noise([truth]):
        first = cue.truth(truth)
    with same_noise([truth]):
        again = cue.truth(truth)
    assert torch.equal(first, again)
    assert torch.equal(cue.truth(truth), first)
    assert not torch.equal(cue.truth(truth), first)


def test_an_unknown_cue_is_refused_with_the_names_of_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no cue 'blurred'.*straight-through"):
        new_cue("blurred", 0.1)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        new_cue("smoothed", strength)
