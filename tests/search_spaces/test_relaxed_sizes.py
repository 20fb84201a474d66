from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from search_spaces.relaxed_sizes import (
    ChannelMask,
    ConditionalMask,
    Exits,
    RelaxedChain,
    inherit_slices,
    pad_channels,
)

JOINT = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def _maps(channels: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, 3, 4, generator=generator, dtype=torch.float64)


def _cut(features: Tensor, width: int, channels: int) -> Tensor:
    """The first channels, then zeros."""
    result = torch.zeros_like(features[:, :1]).repeat_interleave(channels, 1)
    result[:, :width] = features[:, :width]
    return result


def test_a_masked_map_is_the_weighted_sum_of_the_narrower_maps() -> None:
    """Wan et al. 2020, Fig. 3: the masks' weighted sum once, instead of every map."""
    x, widths = _maps(6), [2, 5, 3]
    expected = sum(p * _cut(x, width, 5) for p, width in zip(JOINT, widths, strict=True))
    torch.testing.assert_close(ChannelMask(widths).double()(x, JOINT), expected)


def test_a_network_that_uses_nothing_weakens_all_channels() -> None:
    mask = ChannelMask([2, 0, 4]).double()
    assert mask.probabilities(JOINT).tolist() == pytest.approx([0.7, 0.7, 0.2, 0.2])
    vectors = torch.ones(1, 4, dtype=torch.float64)
    assert mask(vectors, JOINT).tolist() == [pytest.approx([0.7, 0.7, 0.2, 0.2])]


def test_slots_lie_side_by_side() -> None:
    mask = ChannelMask([1, 2, 0], [0, 0, 3]).double()
    assert mask.probabilities(JOINT).tolist() == pytest.approx([0.8, 0.3, 0.2, 0.2, 0.2])


def test_where_all_networks_use_the_same_channels_nothing_is_multiplied() -> None:
    x = _maps(6)
    mask = ChannelMask([4, 4, 4], [2, 2, 2])
    assert mask.certain
    assert mask(x, JOINT).data_ptr() == x.data_ptr()
    assert mask.probabilities(JOINT.float()).tolist() == pytest.approx([1] * 6)
    assert not ChannelMask([4, 4, 4], [2, 2, 0]).certain
    assert not ChannelMask([4, 4, 0]).certain


def test_a_conditional_mask_leaves_out_networks_that_use_nothing() -> None:
    mask = ConditionalMask([0, 4, 1]).double()
    assert mask.probabilities(JOINT).tolist() == pytest.approx([1, 0.6, 0.6, 0.6])
    assert ConditionalMask([0, 4, 4]).certain
    assert not ConditionalMask([4, 4, 1]).certain


def test_a_conditional_mask_is_zero_where_its_condition_is_impossible() -> None:
    joint = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    mask = ConditionalMask([0, 4, 1]).probabilities(joint)
    assert mask.tolist() == [0] * 4
    mask.sum().backward()
    assert joint.grad is not None
    assert joint.grad.isfinite().all()


def test_exits_sum_what_networks_take_and_skip_unused_places() -> None:
    exits = Exits([[1, 0, 0], [0, 0, 0], [0, 3, 0], [0, 0, 2]]).double()
    assert exits.places == [0, 2, 3]
    assert exits.channels == 3
    features = {place: _maps(3, place) for place in exits.places}
    expected = (
        0.5 * _cut(features[0], 1, 3)
        + 0.3 * _cut(features[2], 3, 3)
        + 0.2 * _cut(features[3], 2, 3)
    )
    torch.testing.assert_close(exits(features, JOINT), expected)


def test_one_exit_that_all_take_passes_unchanged() -> None:
    x = _maps(3)
    assert Exits([[0, 0, 0], [3, 3, 3]])([x, x], JOINT).data_ptr() == x.data_ptr()


def test_a_chain_is_the_expectation_over_its_exits() -> None:
    """Three networks of the widths (2), (3, 4) and (1, 2), written out by hand."""
    torch.manual_seed(0)
    chain = RelaxedChain(2, [(2,), (3, 4), (1, 2)], partial(nn.Conv2d, kernel_size=1)).double()
    first, second = chain.units
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    assert (first.out_channels, second.in_channels, second.out_channels) == (3, 3, 4)
    x = _maps(2)
    one = first(x)
    two = second(0.6 * _cut(one, 3, 3) + 0.4 * _cut(one, 1, 3))
    expected = 0.5 * _cut(one, 2, 4) + 0.3 * _cut(two, 4, 4) + 0.2 * _cut(two, 2, 4)
    torch.testing.assert_close(chain(x, JOINT), expected)
    assert chain.channels == 4


def test_layers_are_no_wider_than_what_a_deeper_network_needs() -> None:
    chain = RelaxedChain(2, [(7,), (3, 5)], partial(nn.Conv2d, kernel_size=1))
    shapes = [tuple(unit.weight.shape[:2]) for unit in chain.units]  # type: ignore[union-attr]
    assert shapes == [(7, 2), (5, 3)]
    assert chain.channels == 7
    assert chain(torch.rand(1, 2, 3, 3), torch.tensor([0.5, 0.5])).shape == (1, 7, 3, 3)


def test_tables_move_with_the_module_and_are_not_saved() -> None:
    chain = RelaxedChain(2, [(2,), (3, 4)], partial(nn.Conv2d, kernel_size=1))
    assert set(chain.state_dict()) == {f"units.{u}.{p}" for u in (0, 1) for p in ("weight", "bias")}
    chain.to("meta")
    assert {buffer.device.type for buffer in chain.buffers()} == {"meta"}
    assert len(list(chain.buffers())) == 6


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
def test_channels_are_filled_up_with_zeros(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape)
    padded = pad_channels(x, 5)
    assert padded.shape == (2, 5, *shape[2:])
    assert torch.equal(padded[:, :3], x)
    assert not padded[:, 3:].any()
    assert pad_channels(x, 3) is x


def test_slices_are_the_first_channels_and_copies() -> None:
    wide, narrow = nn.Conv2d(4, 6, 3), nn.Conv2d(2, 3, 3)
    inherit_slices(narrow, wide.state_dict())
    assert torch.equal(narrow.weight, wide.weight[:3, :2])
    assert narrow.bias is not None
    assert wide.bias is not None
    assert torch.equal(narrow.bias, wide.bias[:3])
    nn.init.zeros_(wide.weight)
    assert narrow.weight.any()


def test_what_the_supernet_lacks_cannot_be_inherited() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        inherit_slices(nn.Conv2d(5, 3, 3), nn.Conv2d(4, 6, 3).state_dict())
    with pytest.raises(KeyError, match="bias"):
        inherit_slices(nn.Conv2d(2, 3, 3), nn.Conv2d(4, 6, 3, bias=False).state_dict())
