from io import BytesIO
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate

from nas.data import near_duplicates
from nas.data.cases import Case
from nas.data.images import open_image
from nas.data.near_duplicates import Fingerprints, NearDuplicate, grouped, merged_groups

REAL = Path(__file__).parents[4] / "shared" / "data"
STORED_TWICE = (
    ("0002", "t_0047"),
    ("0011", "t_0068"),
    ("0012", "0073"),
    ("0021", "0104"),
    ("0037", "0147"),
    ("0038", "0151"),
)
MOVED = (("0081", "t_0114"), ("0113", "0131"), ("0127", "0145"))


def texture(seed: int, size: int = 256, sigma: float = 2.0) -> np.ndarray:
    """(1, size, size) with details of some pixels, mean 0.5 and deviation 0.1."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), sigma)
    return (0.5 + 0.1 * (noise - noise.mean()) / noise.std()).astype(np.float32)[None]


def pairs_of(images: dict[str, np.ndarray]) -> list[NearDuplicate]:
    fingerprints = Fingerprints()
    for name, image in images.items():
        fingerprints.add(name, image)
    return fingerprints.pairs()


def names(images: dict[str, np.ndarray]) -> set[tuple[str, str]]:
    return {(pair.first, pair.second) for pair in pairs_of(images)}


def jpeg(image: np.ndarray) -> np.ndarray:
    stream = BytesIO()
    Image.fromarray((image[0] * 255).astype(np.uint8)).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream), dtype=np.float32)[None] / 255


def scaled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image[0]).resize((width, height)))[None]


CHANGES = {
    "brighter": lambda image: image * 0.6 + 0.3,
    "cropped": lambda image: image[:, 4:, 3:-2],
    "shifted": lambda image: np.roll(image, (14, -9), axis=(1, 2)),
    "noisy": lambda image: image + np.random.default_rng(9).normal(0, 0.03, image.shape),
    "compressed": jpeg,
    "smaller": lambda image: scaled(image, 150, 170),
    "larger": lambda image: scaled(image, 400, 400),
    "turned by a degree": lambda image: rotate(image[0], 1, reshape=False, mode="nearest")[None],
    "coloured": lambda image: image * np.array([0.9, 1.0, 0.8])[:, None, None],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str) -> None:
    images = {f"other{seed}": texture(seed) for seed in range(1, 6)}
    changed = np.asarray(CHANGES[change](texture(0)), dtype=np.float32)
    assert names({"b": changed, **images, "a": texture(0)}) == {("a", "b")}


@pytest.mark.parametrize("turn", [lambda a: a[:, :, ::-1], lambda a: a[:, ::-1]])
def test_a_mirrored_copy_is_not(turn: object) -> None:
    assert pairs_of({"a": texture(0), "b": np.ascontiguousarray(turn(texture(0)))}) == []  # type: ignore[operator]


def test_what_shares_its_large_structure_alone_is_not() -> None:
    scene = gaussian_filter(np.random.default_rng(50).normal(size=(256, 256)), 12)
    scene = 0.25 * scene / scene.std()
    images = {str(seed): texture(seed) + scene for seed in range(8)}
    vectors = [image.ravel() for image in images.values()]
    assert np.corrcoef(vectors)[np.triu_indices(8, 1)].min() > 0.8
    assert pairs_of(images) == []


def test_frames_in_which_tissue_moved_are_found_unless_all_images_share_their_scene() -> None:
    def frame(scene: int, details: int) -> np.ndarray:
        return texture(scene, sigma=7) + 0.55 * texture(details) + 0.6 * texture(scene + 40)

    others = {f"o{seed}": frame(seed, 70 + seed) for seed in range(12)}
    found = pairs_of({"a": frame(20, 90), "b": frame(20, 91), **others})
    assert [(pair.first, pair.second) for pair in found] == [("a", "b")]
    assert near_duplicates.MOVED <= found[0].likeness < near_duplicates.ALIKE
    assert pairs_of({str(seed): frame(20, 90 + seed) for seed in range(12)}) == []


def test_all_channels_count() -> None:
    def coloured(*seeds: int) -> np.ndarray:
        return np.concatenate([texture(seed) for seed in seeds])

    images = {"a": coloured(0, 1, 2), "b": coloured(0, 3, 4), "c": coloured(5, 6, 7)}
    assert pairs_of(images) == []
    assert names({**images, "d": 0.9 * coloured(5, 6, 7)}) == {("c", "d")}


def test_what_has_nothing_in_common_is_not_even_compared() -> None:
    fingerprints = Fingerprints()
    for seed in range(12):
        fingerprints.add(str(seed), texture(seed))
    told: list[tuple[int, int]] = []
    assert fingerprints.pairs(lambda done, total: told.append((done, total))) == []
    assert told == []


def test_cases_of_one_group_are_not_compared() -> None:
    for group, expected in ((("g", "g"), 0), (("g", "h"), 1), ((None, "g"), 1), ((None, None), 1)):
        fingerprints = Fingerprints()
        for name, each in zip("ab", group, strict=True):
            fingerprints.add(name, texture(0), each)
        assert len(fingerprints.pairs()) == expected, group


def test_blank_images_say_nothing_and_few_images_neither() -> None:
    assert pairs_of({"a": np.full((1, 40, 40), 0.3, np.float32), "b": np.ones((1, 9, 9))}) == []
    one_spot = np.zeros((1, 128, 128), np.float32)
    one_spot[0, 30:36, 30:36] = 1
    assert pairs_of({"a": one_spot, "b": one_spot * 0.9}) == []
    assert pairs_of({}) == []
    assert pairs_of({"a": texture(0)}) == []


def test_a_sequence_becomes_one_group_though_each_has_few_neighbours() -> None:
    steps = [np.roll(texture(0), 2 * step, axis=1) for step in range(9)]
    images = {f"f{step}": image for step, image in enumerate(steps)}
    pairs = pairs_of({**images, "other": texture(1)})
    assert grouped((p.first, p.second) for p in pairs) == (tuple(f"f{k}" for k in range(9)),)


def test_progress_and_order() -> None:
    fingerprints = Fingerprints()
    for name, image in {
        "b": texture(0),
        "a": CHANGES["noisy"](texture(0)),
        "c": texture(0),
    }.items():
        fingerprints.add(name, image)
    told: list[tuple[int, int]] = []
    pairs = fingerprints.pairs(lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [(p.first, p.second) for p in pairs][0] == ("b", "c")
    assert [p.likeness for p in pairs] == sorted((p.likeness for p in pairs), reverse=True)


def test_the_memory_of_an_image_is_as_said() -> None:
    fingerprints = Fingerprints()
    fingerprints.add("a", texture(0, 512))
    kept = fingerprints._details + fingerprints._descriptors
    assert sum(plane.nbytes for plane in kept) == 40 * 1024


def test_an_image_has_three_dimensions() -> None:
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        Fingerprints().add("a", np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("down", "right", "noise"), [(0, 0, 8), (6, -4, 8), (-16, 10, 8), (-12, 12, 500), (3, 0, 500)]
)
def test_the_likeness_of_patches_is_that_of_its_definition(
    down: int, right: int, noise: float
) -> None:
    one = (texture(1, 128)[0] - 0.5) * 10
    other = np.roll(one, (down, right), axis=(0, 1)) + (texture(2, 128)[0] - 0.5) * noise
    one[:32, :64] *= 0.1
    best: list[tuple[float, float]] = []
    for top in range(0, 128, 16):
        for left in range(0, 128, 16):
            patch = one[top : top + 16, left : left + 16]
            values = [
                np.corrcoef(patch.ravel(), other[y : y + 16, x : x + 16].ravel())[0, 1]
                for y in range(top + down - 4, top + down + 5)
                for x in range(left + right - 4, left + right + 5)
                if 0 <= y <= 112 and 0 <= x <= 112
            ]
            if values:
                best.append((float(patch.std()), max(values)))
    smallest = 0.35 * np.sqrt(np.mean([deviation**2 for deviation, _ in best]))
    structured = [value for deviation, value in best if deviation > smallest]
    assert len(structured) < len(best)
    value = near_duplicates._likeness_at(one, other, down, right)
    assert value == pytest.approx(np.quantile(structured, 1 / 3), abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=14))
@settings(max_examples=25, deadline=None)
def test_groups_are_the_connected_components(edges: list[tuple[int, int]]) -> None:
    edges = [edge for edge in edges if edge[0] != edge[1]]
    expected = {frozenset(map(str, part)) for part in nx.connected_components(nx.Graph(edges))}
    groups = grouped((str(a), str(b)) for a, b in edges)
    assert {frozenset(group) for group in groups} == expected
    assert all(list(group) == sorted(group, key=int) for group in groups)
    assert [int(group[0]) for group in groups] == sorted(int(group[0]) for group in groups)


def test_given_groups_and_what_is_alike_stay_together() -> None:
    given = {"a": "p", "b": "p", "c": None, "d": None, "e": "q", "f": "q", "g": None}
    cases = [Case(name, 0, 0, group=group) for name, group in given.items()]
    groups = merged_groups(cases, [("b", "c"), ("d", "e")])
    assert list(groups) == list(given)
    together = {frozenset(n for n in groups if groups[n] == group) for group in groups.values()}
    assert together == {frozenset(part) for part in ("abc", "def", "g")}


def real(folder: str, stems: list[str] | None = None, most: int = 60) -> dict[str, np.ndarray]:
    root = REAL / folder / "images"
    if not root.is_dir():
        pytest.skip("the real images are not beside the checkout")
    paths = [p for p in sorted(root.iterdir()) if stems is None or p.stem in stems]
    return {path.stem: open_image(path, 1) for path in paths[:most]}


def test_frames_stored_twice_and_neighbouring_frames_are_found_in_ultrasound() -> None:
    expected = {tuple(pair) for pair in STORED_TWICE + MOVED}
    stems = [stem for pair in expected for stem in pair]
    others = ["0015", "0020", "0040", "0050", "0060", "0070", "0090", "0100", "0110", "0120"]
    others += ["0121", "0130", "0150", "0160", "0170", "0180", "0190", "0200", "0210", "0220"]
    assert names(real("usgra_ultrasound", stems + others)) == expected


@pytest.mark.parametrize(
    "folder", ["msd_hippocampus_2d", "axon_myelin_sem", "usiigaci_phase_contrast"]
)
def test_what_merely_looks_alike_is_not(folder: str) -> None:
    images = real(folder, most=40)
    assert len(list(combinations(images, 2))) > 500
    assert pairs_of(images) == []
