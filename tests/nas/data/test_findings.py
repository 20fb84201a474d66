from dataclasses import dataclass, field

import numpy as np
import pytest

from nas.data.cases import UNKNOWN, Case
from nas.data.findings import Findings
from nas.errors import DataError

CASE = Case("case1", 0, 0)
CLASSES = ("background", "cell", "debris")


@dataclass
class OneCase:
    """What a reader hands out for a case; a sentence instead of an array is raised."""

    image: object = field(default_factory=lambda: np.zeros((1, 4, 5), np.float32))
    mask: object = field(default_factory=lambda: np.zeros((4, 5), np.uint8))
    instances: object = None
    view: object = None

    def read_image(self, case: Case) -> object:
        return self._given(self.image)

    def read_mask(self, case: Case) -> object:
        return self._given(self.mask)

    def read_instances(self, case: Case) -> object:
        return self._given(self.instances)

    def read_field_of_view(self, case: Case) -> object:
        return self._given(self.view)

    def describe(self, case: Case) -> str:
        return "8-bit grey"

    def _given(self, value: object) -> object:
        if isinstance(value, str):
            raise DataError(value)
        return value


def found(classes: tuple[str, ...] = CLASSES, **parts: object) -> Findings:
    findings = Findings(classes)
    findings.add(OneCase(**parts), CASE)  # type: ignore[arg-type]
    return findings


def plane(*rows: str) -> np.ndarray:
    """A digit per pixel; ? is unknown."""
    return np.array([[UNKNOWN if c == "?" else int(c) for c in row] for row in rows], np.uint8)


def test_unknown_pixels_are_no_class_and_no_foreground() -> None:
    findings = found(mask=plane("00??", "0000", "0000", "000?"), image=np.zeros((1, 4, 4)))
    assert findings.shares() == pytest.approx((13 / 16, 0, 0))
    assert findings.unknown_share == pytest.approx(3 / 16)
    assert findings.without_foreground == ["case1"]
    assert findings.problems == []
    assert found(mask=plane("?1")).without_foreground == []


def test_shares_are_of_the_cases_that_are_asked_for() -> None:
    findings = Findings(CLASSES)
    for name, mask in (("a", plane("01")), ("b", plane("0012")), ("c", plane("2?"))):
        findings.add(OneCase(mask=mask), Case(name, 0, 0))  # type: ignore[arg-type]
    assert findings.shares() == pytest.approx((3 / 8, 2 / 8, 2 / 8))
    assert findings.shares(("a", "c", "none")) == pytest.approx((1 / 4, 1 / 4, 1 / 4))
    assert findings.shares(()) == ()
    assert Findings(CLASSES).shares() == ()
    assert Findings(CLASSES).unknown_share == 0


def test_every_part_has_the_size_of_the_image() -> None:
    findings = found(
        mask=np.zeros((5, 4), np.uint8),
        instances=np.zeros((2, 2), np.int32),
        view=np.ones((4, 4), bool),
    )
    words = ("its mask is 5x4", "its object numbers are 2x2", "its field of view is 4x4")
    assert len(findings.problems) == 3
    for problem, word in zip(findings.problems, words, strict=True):
        assert problem.startswith("The image of case1 is 4x5") and word in problem


def test_nothing_stops_at_the_first_error() -> None:
    findings = found(image="No image.", mask="No mask.", instances="No objects.", view="No view.")
    assert findings.problems == ["No image.", "No mask.", "No view."]
    findings = found(image="No image.", instances="No objects.", view=np.zeros((4, 5), bool))
    assert findings.problems[:2] == ["No image.", "No objects."]
    assert "field of view of case1 is empty" in findings.problems[2]
    assert findings.without_foreground == ["case1"]


def test_masks_are_left_out_where_their_classes_are_not_known() -> None:
    findings = found(classes=(), mask="No mask.", instances="No objects.")
    assert findings.problems == []
    assert findings.sizes == {"4x5": 1}


def test_a_class_that_there_is_not_is_a_problem() -> None:
    assert found(mask=plane("0012")).problems[1:] == []
    problems = found(mask=plane("0379?"), image=np.zeros((1, 1, 5))).problems
    assert problems == [
        "The mask of case1 has the classes 3, 7, 9; there are 3 classes, 0 to 2.",
    ]


def test_objects_are_measured() -> None:
    objects = np.array([[0, 7, 7, 3], [7, 0, 0, 0]], np.int32)
    findings = found(
        image=np.zeros((1, 2, 4)), mask=(objects > 0).astype(np.uint8), instances=objects
    )
    assert sorted(findings.objects["case1"].tolist()) == [1, 3]
    assert findings.problems == []
    assert findings.without_objects == []


def test_objects_lie_in_the_foreground_or_where_nothing_is_known() -> None:
    image = np.zeros((1, 2, 4))
    objects = np.array([[1, 1, 2, 2], [0, 0, 3, 3]], np.int32)
    assert found(image=image, mask=plane("11??", "0012"), instances=objects).problems == []
    problems = found(image=image, mask=plane("0011", "0001"), instances=objects).problems
    assert problems == [
        "3 pixels of objects of case1 are background in its mask: both must agree, export them "
        "again."
    ]


def test_the_pixels_of_a_class_that_has_objects_belong_to_one() -> None:
    findings = Findings(CLASSES)
    objects = np.array([[1, 1, 0, 0]], np.int32)
    masks = {"a": plane("1100"), "b": plane("1112"), "c": plane("1111"), "d": plane("11?2")}
    for name, mask in masks.items():
        findings.add(
            OneCase(image=np.zeros((1, 1, 4)), mask=mask, instances=objects), Case(name, 0, 0)
        )  # type: ignore[arg-type]
    assert len(findings.without_objects) == 1
    assert findings.without_objects[0].startswith(
        "In 2 of 4 cases pixels of cell belong to no object: b (1 pixels), c (2 pixels). "
    )


def test_a_field_of_view_is_measured() -> None:
    view = np.zeros((4, 5), bool)
    view[1:3] = True
    assert found(view=view).views == {"case1": 0.5}
    assert found(view=view).problems == []
