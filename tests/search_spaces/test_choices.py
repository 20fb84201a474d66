from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from search_spaces.choices import ChoiceParameters, check_relaxable
from search_spaces.description import GenotypeError
from search_spaces.parametric_genotypes import ConcatenationFCN, FlexVGG

CANDIDATES: dict[str, Any] = {
    "pattern": ("single_run", "double_run"),
    "depth": (3, 1, 2),
    "blocks": (4,),
    "channels": (8, 16),
}


def _choices(seed: int = 0) -> ChoiceParameters[FlexVGG]:
    return ChoiceParameters(FlexVGG(), CANDIDATES, torch.Generator().manual_seed(seed))


def _random(choices: ChoiceParameters[FlexVGG]) -> ChoiceParameters[FlexVGG]:
    generator = torch.Generator().manual_seed(1)
    for alpha in choices.parameters():
        torch.nn.init.normal_(alpha, generator=generator)
    return choices


def test_there_is_a_vector_for_each_number_searched() -> None:
    shapes = {name: tuple(value.shape) for name, value in _choices().state_dict().items()}
    assert shapes == {
        "alpha.pattern": (2,),
        "alpha.depth": (3,),
        "alpha.blocks": (1,),
        "alpha.channels": (2,),
    }


def test_they_start_as_small_normal_numbers() -> None:
    choices = ChoiceParameters(FlexVGG(), {"channels": tuple(range(1, 2001))})
    values = choices.alpha["channels"].detach()
    assert float(values.std()) == pytest.approx(1e-3, rel=0.1)


def test_only_the_generator_decides_how_they_start() -> None:
    before = torch.get_rng_state()
    first, same, other = _choices(3), _choices(3), _choices(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.alpha["depth"], same.alpha["depth"])
    assert not torch.equal(first.alpha["depth"], other.alpha["depth"])


def test_a_network_is_as_probable_as_the_product_of_its_numbers() -> None:
    choices = _random(_choices()).double()
    shares = {
        name: dict(zip(choice.candidates, choice.probabilities(), strict=True))
        for name, choice in choices.to_choices().choices.items()
    }
    expected = [
        math.prod(share[getattr(network, name)] for name, share in shares.items())
        for network in choices.networks
    ]
    assert len(expected) == 12
    assert choices.joint().tolist() == pytest.approx(expected, rel=1e-6)
    assert sum(expected) == pytest.approx(1)


def test_where_nothing_is_searched_the_network_is_certain() -> None:
    choices = ChoiceParameters(FlexVGG(), {})
    assert choices.joint().tolist() == [1]
    assert choices.networks == (FlexVGG(),)


def test_one_hot_names_one_network() -> None:
    choices = _choices()
    network = FlexVGG(pattern="double_run", depth=1, blocks=4, channels=16)
    joint = choices.one_hot(network)
    assert choices.networks[int(joint.argmax())] == network
    assert sorted(joint.tolist()) == [0.0] * 11 + [1.0]
    with pytest.raises(GenotypeError, match="not in the space"):
        choices.one_hot(FlexVGG(blocks=5))


def test_plain_numbers_restore_the_parameters_exactly() -> None:
    choices = _random(_choices())
    plain = choices.to_choices().choices
    assert {name: choice.candidates for name, choice in plain.items()} == CANDIDATES
    for name, choice in plain.items():
        assert torch.equal(torch.tensor(choice.alpha), choices.alpha[name])


def test_spectral_normalisation_and_unknown_inputs_cannot_be_relaxed() -> None:
    assert check_relaxable(FlexVGG(in_channels=3)) == 3
    with pytest.raises(GenotypeError, match="in_channels"):
        check_relaxable(ConcatenationFCN())
    with pytest.raises(GenotypeError, match="spectral"):
        check_relaxable(FlexVGG(in_channels=3, normalisation="spectral"))
