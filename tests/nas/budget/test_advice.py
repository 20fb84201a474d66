"""What to lower, checked by trying it."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from nas.budget.advice import largest_size, most_epochs, nothing_fits
from nas.budget.ladder import Candidate
from nas.budget.limits import Limits, Measured, Unmeasured
from nas.budget.pick import Tried
from nas.settings import ArchitectureSettings, DataSettings, SearchSettings, TrainingSettings

GB = 1e9


def tried(
    limits: Limits,
    step: float = 1.0,
    peak: float = 2 * GB,
    base: float = 0.5 * GB,
    start: float = 0.0,
    size: str = "128",
    epochs: int = 10,
    warmup: int = 0,
    order: str = "second",
) -> Tried:
    """A search of 10 steps an epoch whose epochs end at once."""
    settings = SearchSettings(
        data=DataSettings(image_size=size),
        training=TrainingSettings(epochs=epochs),
        architecture=ArchitectureSettings(diagnose_every=0, warmup_epochs=warmup),
    )
    parts = {
        "step": step,
        "step of the warm-up": step / 2,
        "end of an epoch": 0.0,
        "end of an epoch with pictures": 0.0,
        "end of the run": 0.0,
    }
    changes = {"order": order} if order == "first" else {}
    return Tried(Candidate(settings, changes), Measured(10, start, parts, peak, base), 0.0, limits)


def test_too_long_a_search_is_told_fewer_epochs_or_a_smaller_size() -> None:
    """100 s in 42 s: four of ten epochs with the reserve, or 0.4 of the pixels (80 of 128 px)."""
    dear = tried(Limits(seconds=42.0), step=3.0)
    cheap = tried(Limits(seconds=42.0), order="first")
    assert nothing_fits([dear, cheap]) == (
        "nothing fits. The cheapest, --order first, would take 1 min 40 s and 2.00 GB: lower "
        "--epochs to 4, or --image-size to about 80, or allow more"
    )


def test_too_much_memory_is_told_a_smaller_size_alone() -> None:
    """Of 1.5 GB above the start 0.375 may stay: half of the side."""
    large = tried(Limits(bytes=1.1 * 0.875 * GB), size="128x256")
    assert "lower --image-size to about 64x128, or allow more" in nothing_fits([large])
    assert "--epochs" not in nothing_fits([large])


def test_where_both_are_exceeded_the_smaller_size_is_told() -> None:
    both = tried(Limits(seconds=42.0, bytes=1.1 * 0.875 * GB))
    assert "lower --image-size to about 64, or" in nothing_fits([both])


def test_what_nothing_helps_is_told_so() -> None:
    process_alone = tried(Limits(bytes=0.4 * GB))
    assert nothing_fits([process_alone]).endswith(
        "allow more; fewer epochs or smaller images alone would not do"
    )


def test_what_could_not_be_measured_is_told_beside() -> None:
    long = tried(Limits(seconds=42.0))
    unmeasured = dataclasses.replace(long, found=Unmeasured("not measured within 9 s"))
    told = nothing_fits([long, unmeasured, unmeasured])
    assert told.startswith(
        "nothing fits, and 2 of 3 could not be measured in time. The cheapest, your settings, would"
    )


def test_nothing_measured_is_told_so() -> None:
    unmeasured = dataclasses.replace(
        tried(Limits(1.0)), found=Unmeasured("not measured within 9 s")
    )
    assert "no settings could be measured in time (your settings: not measured within 9 s)" in (
        nothing_fits([unmeasured])
    )


@examples(max_examples=25, deadline=None)
@given(
    limit=st.floats(1, 400),
    epochs=st.integers(2, 60),
    warmup=st.integers(0, 3),
    start=st.floats(0, 30),
)
def test_the_epochs_told_fit_and_one_more_does_not(
    limit: float, epochs: int, warmup: int, start: float
) -> None:
    assume(warmup < epochs)
    search = tried(Limits(limit), epochs=epochs, warmup=warmup, start=start)
    assume(not search.fits_time)

    def takes(number: int) -> float:
        return 1.05 * (start + 5 * min(warmup, number) + 10 * max(0, number - warmup))

    found = most_epochs(search)
    if found is None:
        assert takes(warmup + 1) > limit
    else:
        assert takes(found) <= limit < takes(found + 1)


@examples(max_examples=25, deadline=None)
@given(
    side=st.integers(4, 64),
    share=st.floats(0.01, 0.99),
    base=st.floats(0, 2),
    start=st.floats(0, 50),
    of_time=st.booleans(),
)
def test_the_size_told_would_fit_if_all_behind_the_start_grew_with_the_pixels(
    side: int, share: float, base: float, start: float, of_time: bool
) -> None:
    seconds = 1.05 * (start + share * 100)
    size = 1.1 * (base + share * 1) * GB
    limits = Limits(seconds=seconds) if of_time else Limits(bytes=size)
    search = tried(limits, base=base * GB, peak=(base + 1) * GB, start=start, size=str(8 * side))
    assume(not search.fits)
    found = largest_size(search)
    if found is None:
        assert share * (8 * side) ** 2 < 32**2 + 1e-3
        return
    pixels = (int(found) / (8 * side)) ** 2
    more = ((int(found) + 8) / (8 * side)) ** 2
    assert int(found) % 8 == 0 and int(found) >= 32
    assert pixels <= share + 1e-9 < more + 1e-6


def test_epochs_that_rest_are_not_told() -> None:
    assert most_epochs(tried(Limits(12.0), epochs=10, warmup=2)) is None


@pytest.mark.parametrize("side", ["40", "48"])
def test_no_size_below_the_smallest_is_told(side: str) -> None:
    assert largest_size(tried(Limits(seconds=20.0), size=side)) is None
