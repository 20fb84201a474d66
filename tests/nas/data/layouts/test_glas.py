from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.glas import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

NAME = "Warwick QU Dataset (Released 2016_07_08)"
HEADER = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"
ROWS = (
    "testA_1,4, benign, adenomatous",
    "testB_1,3, malignant, moderately differentiated",
    "train_1,2, malignant, moderately differentiated",
    "train_2,4, benign, healthy",
    "train_10,16, benign, healthy",
)
GLANDS = np.array([[0, 0, 1, 1], [2, 0, 0, 0], [2, 0, 3, 3]], dtype=np.uint8)


def _colours(number: int) -> np.ndarray:
    return np.full((3, 4, 3), (200, 10 * number, 0), dtype=np.uint8)


@pytest.fixture
def glas(tmp_path: Path, save_picture: Save) -> Path:
    """The folder of Warwick with five images, in a data root above it."""
    folder = tmp_path / NAME
    for number, row in enumerate(ROWS):
        name = row.partition(",")[0]
        save_picture(folder / f"{name}.bmp", _colours(number))
        save_picture(folder / f"{name}_anno.bmp", GLANDS)
    (folder / "Grade.csv").write_bytes("\r".join([HEADER, *ROWS]).encode())
    return folder


def _settings(root: Path, **options: object) -> DataSettings:
    return DataSettings(dataset="glas", data_root=root, **options)  # type: ignore[arg-type]


def test_cases_as_warwick_names_them(glas: Path) -> None:
    reader = open_reader(_settings(glas))
    ids = [case.id for case in reader.cases]
    assert ids == ["testA_1", "testB_1", "train_1", "train_2", "train_10"]
    assert reader.classes == ("background", "gland")
    assert reader.channels == 3
    assert [case.group for case in reader.cases] == ["4", "3", "2", "4", "16"]
    assert [case.stratum for case in reader.cases] == [
        "benign",
        "malignant",
        "malignant",
        "benign",
        "benign",
    ]
    assert reader.lists == {
        "train": ("train_1", "train_2", "train_10"),
        "val": (),
        "test": ("testA_1", "testB_1"),
    }
    assert reader.cases[0].files == (glas / "testA_1.bmp", glas / "testA_1_anno.bmp")


def test_pixels_of_image_mask_and_glands(glas: Path) -> None:
    reader = open_reader(_settings(glas))
    case = reader.cases[4]
    image = reader.read_image(case)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[:, 1, 2], np.array([200, 40, 0]) / 255, atol=1e-6)
    assert reader.describe(case) == "8-bit RGB"
    mask = reader.read_mask(case)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 0, 1, 1], [1, 0, 0, 0], [1, 0, 1, 1]]
    instances = reader.read_instances(case)
    assert instances is not None
    assert instances.dtype == np.int32
    assert instances.tolist() == GLANDS.tolist()
    assert reader.read_field_of_view(case) is None


def test_the_folder_is_found_below_the_root(glas: Path) -> None:
    assert len(open_reader(_settings(glas.parent)).cases) == 5
    assert open_reader(_settings(glas, image_channels=1)).channels == 1


def test_more_than_255_glands_keep_their_numbers(glas: Path) -> None:
    """A palette or 8-bit BMP holds no more, a copy in 16 bits may."""
    numbers = np.arange(12, dtype=np.int64).reshape(3, 4) * 64
    Image.fromarray(numbers.astype(np.uint16)).save(glas / "a.png")
    (glas / "a.png").replace(glas / "train_1_anno.bmp")
    reader = open_reader(_settings(glas))
    assert (reader.read_instances(reader.cases[2]) == numbers).all()
    assert (reader.read_mask(reader.cases[2]) == (numbers > 0)).all()


def test_notes_say_parts_and_patients(glas: Path) -> None:
    notes = " ".join(open_reader(_settings(glas)).notes)
    assert "3 of 85 in train, 1 of 60 in testA, 1 of 20 in testB" in notes
    assert "testA and testB separately" in notes
    assert "divide patients: 1 have images in training and in test" in notes


def test_without_grades_there_is_a_note(glas: Path) -> None:
    (glas / "Grade.csv").unlink()
    reader = open_reader(_settings(glas))
    assert {case.group for case in reader.cases} == {None}
    assert {case.stratum for case in reader.cases} == {None}
    assert any("no" in note and "Grade.csv" in note for note in reader.notes)


def test_half_of_the_parts_is_no_split(glas: Path) -> None:
    for path in glas.glob("test*"):
        path.unlink()
    reader = open_reader(_settings(glas))
    assert len(reader.cases) == 3
    assert reader.lists is None


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("train_2,4, begnin, healthy", "Line 5 of .*Grade.csv is train_2, 4, begnin, healthy"),
        ("train_2,, benign, healthy", "Line 5 of .* expected a name, a patient"),
        ("train_2", "Line 5 of"),
        ("train_3,4, benign, healthy", r"no usable line for 1 of 5 images \(train_2\)"),
        ("train_1,4, benign, healthy", "says two things of train_1"),
    ],
)
def test_lines_of_grades_that_are_wrong(glas: Path, row: str, problem: str) -> None:
    rows = [*ROWS[:3], row, ROWS[4]]
    (glas / "Grade.csv").write_text("\n".join([HEADER, *rows]))
    with pytest.raises(DataError, match=problem):
        open_reader(_settings(glas))


def test_a_table_of_something_else(glas: Path) -> None:
    (glas / "Grade.csv").write_text("student,grade\nx,1\n")
    with pytest.raises(DataError, match="begins with student, grade; expected the columns"):
        open_reader(_settings(glas))
    (glas / "Grade.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"Grade\.csv cannot be read"):
        open_reader(_settings(glas))


def test_everything_missing_is_told_at_once(glas: Path, save_picture: Save) -> None:
    (glas / "train_1_anno.bmp").unlink()
    (glas / "testA_1.bmp").unlink()
    save_picture(glas / "train_2_anno.bmp", np.zeros((4, 3), np.uint8))
    (glas / "train_10.bmp").write_bytes(b"BM")
    problems = survey(_settings(glas)).problems
    assert len(problems) == 4
    assert "train_1.bmp has no annotation: expected" in problems[0]
    assert "train_2.bmp is 3x4 and its annotation" in problems[1]
    assert "train_10.bmp" in problems[2]
    assert "testA_1_anno.bmp has no image: expected" in problems[3]


def test_annotations_that_no_longer_tell_glands_apart(glas: Path, save_picture: Save) -> None:
    save_picture(glas / "train_1_anno.bmp", (GLANDS > 0).astype(np.uint8) * 255)
    reader = open_reader(_settings(glas))
    with pytest.raises(DataError, match=r"train_1_anno\.bmp holds the values 0, 255;"):
        reader.read_instances(reader.cases[2])


def test_a_colour_picture_is_no_annotation(glas: Path, save_picture: Save) -> None:
    save_picture(glas / "train_1_anno.bmp", _colours(3))
    reader = open_reader(_settings(glas))
    with pytest.raises(DataError, match=r"train_1_anno\.bmp is a colour picture"):
        reader.read_mask(reader.cases[2])


def test_groups_of_the_user_take_the_place_of_patients(glas: Path, tmp_path: Path) -> None:
    names = [row.partition(",")[0] for row in ROWS]
    (tmp_path / "g.csv").write_text("".join(f"{name}.bmp,slide {name[:5]}\n" for name in names))
    reader = open_reader(_settings(glas, groups=tmp_path / "g.csv"))
    assert {case.group for case in reader.cases} == {"slide testA", "slide testB", "slide train"}


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"train_1_anno\.bmp, and Grade\.csv\. .*Warwick"):
            open_reader(_settings(root))  # type: ignore[arg-type]
    (tmp_path / "warwick_qu_dataset.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"warwick_qu_dataset\.zip, which is an archive: unpack"):
        open_reader(_settings(tmp_path))
    with pytest.raises(DataError, match="is an archive: unpack it"):
        open_reader(_settings(tmp_path / "warwick_qu_dataset.zip"))
