"""Against sums over taps and products across channels, written out in double precision."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import separable
from search_spaces.kernels.lanes import WIDTH
from search_spaces.kernels.separable import Form, Gradients, Seen, Slope

FORMS = [Form(k, stride, apart) for k in (1, 3, 5, 7) for stride in (1, 2) for apart in (1, 2)]
SIZES = [(1, 1), (2, 3), (4, 4), (7, 13), (17, 9), (3, 300), (40, 70)]
EDGES = [(1, 1), (2, 3), (3, 1)]
SLOPES = ["shared", "last", "blocks"]
"""Of the targets, or of each edge with channels last, or in blocks."""
IMAGES = 2


class Case(NamedTuple):
    """What else may differ.

    Attributes:
        edges: targets and sources.
        channels: of an edge.
        blocks: whether maps of the sources are in blocks.
        slopes: one of `SLOPES`.
        threads: to share the work.
        surrounded: see `separable.SURROUNDED`.
    """

    edges: tuple[int, int]
    channels: int
    blocks: bool
    slopes: str
    threads: int
    surrounded: int


class Given(NamedTuple):
    """Maps (N, H, W, ..., C), rows (N, ..., C) and weights; ... are sources, or edges apart."""

    x: np.ndarray
    factor: np.ndarray
    shift: np.ndarray
    within: np.ndarray
    across: np.ndarray
    bias: np.ndarray
    g: np.ndarray
    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    before: np.ndarray


class Found(NamedTuple):
    """By all three kernels, in the shapes of what is given, and sums (2, N, ..., C)."""

    y: np.ndarray
    sums_of_y: np.ndarray
    to_x: np.ndarray
    sums_to_x: np.ndarray
    gradients: Gradients


def _drawn(form: Form, size: tuple[int, int]) -> Case:
    draw = random.Random(repr((form, size)))
    return Case(
        draw.choice(EDGES),
        draw.choice([16, 32]),
        draw.random() < 0.5,
        draw.choice(SLOPES),
        draw.choice([1, 3]),
        draw.choice([1, separable.SURROUNDED]),
    )


def _numbers(form: Form, size: tuple[int, int], case: Case) -> Given:
    noise = np.random.default_rng(0).standard_normal
    (targets, sources), channels = case.edges, case.channels
    out = [-(-length // form.stride) for length in size]
    source, edge = (sources, channels), (targets, sources, channels)
    return Given(
        noise((IMAGES, *size, *source)),
        *noise((2, IMAGES, *source)),
        noise((form.kernel**2, *edge)),
        noise((*edge, channels)),
        noise(edge),
        noise((IMAGES, *out, targets, 1 if case.slopes == "shared" else sources, channels)),
        noise((IMAGES, *out, *edge)),
        *noise((3, IMAGES, *edge)),
        noise((IMAGES, *size, *source)),
    )


def _under_taps(padded: np.ndarray, out: tuple[int, ...], form: Form) -> Iterator[np.ndarray]:
    """What each tap sees, in the size of the result."""
    for i, j in np.ndindex(form.kernel, form.kernel):
        seen = padded[:, i * form.dilation :: form.stride, j * form.dilation :: form.stride]
        yield seen[:, : out[0], : out[1]]


def _written_out(given: Given, form: Form, bias: bool, adds: bool) -> Found:
    """Weights across channels are (targets, sources, out, in)."""
    size, out = given.x.shape[1:3], given.y.shape[1:3]
    margin = form.dilation * (form.kernel - 1) // 2
    standard = given.x * given.factor[:, None, None] + given.shift[:, None, None]
    ends = ((0, 0), (margin, margin), (margin, margin), (0, 0), (0, 0))
    padded = np.pad(np.where(standard <= 0, 0, standard), ends)
    between = np.zeros_like(given.y)
    for seen, weight in zip(_under_taps(padded, out, form), given.within, strict=True):
        between += seen[:, :, :, None] * weight
    y = np.einsum("nhwtsi,tsoi->nhwtso", between, given.across)
    if bias:
        y += given.bias
    a, b, c = (each[:, None, None] for each in (given.a, given.b, given.c))
    slope = a * given.g + b * given.y + c
    behind, to_padded = np.einsum("nhwtso,tsoi->nhwtsi", slope, given.across), np.zeros_like(padded)
    for part, weight in zip(_under_taps(to_padded, out, form), given.within, strict=True):
        part += (behind * weight).sum(3)
    whole = to_padded[:, margin : margin + size[0], margin : margin + size[1]]
    to_x = np.where(standard <= 0, 0, whole)
    gradients = Gradients(
        np.stack(
            [
                np.einsum("nhwsc,nhwtsc->tsc", seen, behind)
                for seen in _under_taps(padded, out, form)
            ]
        ),
        np.einsum("nhwtso,nhwtsi->tsoi", slope, between),
        slope.sum((0, 1, 2)),
    )
    return Found(
        y,
        np.stack([y, y * y]).sum((2, 3)),
        given.before + to_x if adds else to_x,
        np.stack([to_x, to_x * standard]).sum((2, 3)),
        gradients,
    )


def _last(maps: np.ndarray) -> np.ndarray:
    """Channels last."""
    return maps.reshape(*maps.shape[:3], -1)


def _in_blocks(maps: np.ndarray) -> np.ndarray:
    apart = _last(maps).reshape(*maps.shape[:3], -1, WIDTH)
    return np.ascontiguousarray(apart.transpose(0, 3, 1, 2, 4))


def _from_blocks(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return blocks.transpose(0, 2, 3, 1, 4).reshape(shape)


def _found(given: Given, form: Form, case: Case, bias: bool, adds: bool) -> Found:
    """By the kernels. Memory that is written to holds no numbers before."""
    edges, numbers = case.edges[0] * case.edges[1], given.bias.size
    to_source, to_slope = (
        _in_blocks if blocks else _last for blocks in (case.blocks, case.slopes == "blocks")
    )
    factor, shift, a, b, c = (
        each.reshape(IMAGES, -1) for each in (given.factor, given.shift, given.a, given.b, given.c)
    )
    seen = Seen(to_source(given.x), factor, shift)
    slope = Slope(to_slope(given.g), _in_blocks(given.y), a, b, c)
    within = given.within.reshape(-1, numbers)
    across = given.across.reshape(edges, case.channels, case.channels)
    turned = np.ascontiguousarray(across.transpose(0, 2, 1))
    y = np.full(separable.in_blocks(*given.y.shape[:3], numbers), np.nan, given.y.dtype)
    beta = given.bias.reshape(-1) if bias else None
    sums = separable.forward(seen, within, turned, beta, y, form, case.threads)
    to_x = to_source(given.before if adds else np.full_like(given.x, np.nan)).copy()
    sums_to_x = separable.input_gradient(
        seen, slope, within, across, to_x, adds, form, case.threads
    )
    gradients = separable.weight_gradients(seen, slope, within, across, form, case.threads)
    alike = given.within, given.across, given.bias
    return Found(
        _from_blocks(y, given.y.shape),
        sums.reshape(2, *given.a.shape),
        _from_blocks(to_x, given.x.shape) if case.blocks else to_x.reshape(given.x.shape),
        sums_to_x.reshape(2, *given.factor.shape),
        Gradients(*(own.reshape(each.shape) for own, each in zip(gradients, alike, strict=True))),
    )


def _same(found: Found, expected: Found) -> None:
    each = zip((*found[:-1], *found.gradients), (*expected[:-1], *expected.gradients), strict=True)
    for one, other in each:
        about = 1e-12 * max(1, np.nanmax(abs(other), initial=0))
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=about)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
@pytest.mark.parametrize("size", SIZES)
def test_results_and_gradients_are_sums_over_taps_and_channels(
    form: Form, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _drawn(form, size)
    monkeypatch.setattr(separable, "SURROUNDED", case.surrounded)
    given = _numbers(form, size, case)
    bias, adds = size[0] % 2 == 0, form.kernel % 4 == 1
    _same(_found(given, form, case, bias, adds), _written_out(given, form, bias, adds))


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("adds", [True, False])
def test_layouts(
    blocks: bool,
    slopes: str,
    edges: tuple[int, int],
    bias: bool,
    adds: bool,
) -> None:
    form, case = Form(3, 2, 1), Case(edges, 32, blocks, slopes, 1, separable.SURROUNDED)
    given = _numbers(form, (5, 6), case)
    _same(_found(given, form, case, bias, adds), _written_out(given, form, bias, adds))


@pytest.mark.parametrize("name", ["x", "g", "y", "before"])
@pytest.mark.parametrize("place", [(0, 0), (8, 12), (16, 22)])
@pytest.mark.parametrize("form", [Form(3, 1, 2), Form(5, 2, 1)])
def test_what_is_no_number_stays_none(
    name: str, place: tuple[int, int], form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separable, "SURROUNDED", 1)
    case = Case((2, 2), 16, blocks=True, slopes="last", threads=1, surrounded=1)
    given = _numbers(form, (17, 23), case)
    maps = getattr(given, name)
    row, column = place if name in ("x", "before") else (each // form.stride for each in place)
    maps[0, row, column, 0, ..., 5] = np.nan
    expected = _written_out(given, form, bias=True, adds=True)
    assert np.isnan(expected.to_x).any() == (name != "x")
    _same(_found(given, form, case, bias=True, adds=True), expected)


@pytest.mark.parametrize("form", [Form(5, 1, 1), Form(3, 2, 2)])
def test_threads_change_no_bit(form: Form) -> None:
    case = Case((2, 3), 16, blocks=False, slopes="shared", threads=1, surrounded=0)
    given = Given(*(each.astype(np.float32) for each in _numbers(form, (40, 70), case)))
    one, other = (
        _found(given, form, case._replace(threads=threads), bias=True, adds=True)
        for threads in (1, 3)
    )
    for own, same in zip((*one[:-1], *one.gradients), (*other[:-1], *other.gradients), strict=True):
        assert own.dtype == np.float32
        np.testing.assert_array_equal(own, same)
