import base64
import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from scipy.ndimage import gaussian_filter

from nas.data.check import check
from nas.data.layouts.folder import FolderReader
from nas.data.summary import summarise
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]
Save = Callable[[Path, np.ndarray], Path]
EMPTY = {"meta", "img", "input"}


class Page(HTMLParser):
    """A page taken apart: its words, its figures, and whether its elements are nested well."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.captions: list[str] = []
        self.pictures: list[list[tuple[int, int]]] = []
        self.groups = ""
        self.addresses: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        values = dict(attributes)
        self.addresses += [values[key] or "" for key in ("src", "href") if key in values]
        if tag == "figure":
            self.pictures.append([])
            self.captions.append("")
        if tag == "img":
            head, _, data = (values["src"] or "").partition(",")
            assert head == "data:image/png;base64"
            self.pictures[-1].append(Image.open(io.BytesIO(base64.b64decode(data))).size)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "textarea" in self.open:
            self.groups += data
        elif "figcaption" in self.open:
            self.captions[-1] += data
        elif not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.words)


def texture(seed: int) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96)), 1.2)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


@pytest.fixture
def alike(tmp_path: Path, save_picture: Save) -> DataSettings:
    """Eight textures; 0 and 4 are one but for the brightness, so are 1 and 6, which are divided."""
    for number in range(8):
        image = texture({4: 0, 6: 1}.get(number, number)) * (0.8 if number in (4, 6) else 1)
        mask = (np.arange(96)[:, None] < 8 * number).repeat(96, 1)
        save_picture(tmp_path / "d" / "images" / f"c{number}.png", image.astype(np.uint8))
        save_picture(tmp_path / "d" / "masks" / f"c{number}.png", mask.astype(np.uint8))
    (tmp_path / "d" / "train.txt").write_text("c1\nc2\nc3\nc7\n")
    (tmp_path / "d" / "test.txt").write_text("c0\nc4\nc5\nc6\n")
    return DataSettings(dataset="folder", data_root=tmp_path / "d")


def test_the_page_says_what_the_check_says(alike: DataSettings, tmp_path: Path) -> None:
    out = summarise(alike, tmp_path / "page.html")
    report = check(alike)
    page = Page(out)
    assert out == tmp_path / "page.html"
    assert not report.ok
    for sentence in (report.verdict, *report.problems, *report.notes):
        assert sentence in page.words
    for subset, shares in {"all": report.shares, **report.split_shares}.items():
        assert subset in page.words
        assert all(f"{100 * share:.2f} %" in page.words for share in shares)
    assert page.tags["svg"] == 2


def test_the_page_needs_nothing_else(alike: DataSettings, tmp_path: Path) -> None:
    out = summarise(alike, tmp_path / "page.html")
    assert Page(out).addresses
    assert all(address.startswith("data:image/png") for address in Page(out).addresses)
    assert not re.search(r"https?:|url\(|@import|<script", out.read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"d", "page.html"}


def test_cases_of_all_kinds_are_shown_each_under_its_mask(
    alike: DataSettings, tmp_path: Path
) -> None:
    page = Page(summarise(alike, tmp_path / "page.html", pictures=6))
    near, special, others = page.captions[:4], page.captions[4:7], page.captions[7:]
    assert [caption[:2] for caption in near] == ["c1", "c6", "c0", "c4"]
    assert "train" in near[0] and "test" in near[1]
    assert [caption[:2] for caption in special] == ["c7", "c1", "c0"]
    for caption, words in zip(special, ("largest", "smallest", "no foreground"), strict=True):
        assert words in caption
    assert "58.3 %" in special[0]
    assert len(others) == 3
    assert all(sizes == [(224, 224), (224, 224)] for sizes in page.pictures)
    assert "Training (4 cases)" in page.words and "Test (4 cases)" in page.words


@pytest.mark.parametrize("pictures", [1, 2, 5, 24])
def test_as_many_cases_are_shown_as_are_asked_for(
    make_folder: Make, tmp_path: Path, pictures: int
) -> None:
    page = Page(summarise(make_folder(9), tmp_path / "page.html", pictures=pictures))
    assert len(page.captions) == min(pictures, 9)


def test_the_groups_on_the_page_mend_the_split(alike: DataSettings, tmp_path: Path) -> None:
    page = Page(summarise(alike, tmp_path / "page.html"))
    rows = list(csv.reader(io.StringIO(page.groups)))
    assert rows[0] == ["file", "group"]
    assert {row[0] for row in rows if row[1] == "c1"} == {"c1", "c6"}
    (tmp_path / "g.csv").write_text(page.groups)
    assert alike.data_root is not None
    for name in ("train.txt", "test.txt"):
        (alike.data_root / name).unlink()
    mended = check(replace(alike, groups=tmp_path / "g.csv"))
    assert mended.ok
    assert mended.groups == 6


def test_names_are_escaped(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(6, class_names=("background", "<b>&a", '"c"'))
    for folder in ("images", "masks"):
        (tmp_path / folder / "case1.png").rename(tmp_path / folder / "<i>&1.png")
    page = Page(summarise(settings, tmp_path / "page.html"))
    assert "<b>&a" in page.words and '"c"' in page.words
    assert any(caption.startswith("<i>&1") for caption in page.captions)
    assert page.tags["i"] == 0
    assert page.tags["b"] == len(page.captions)


def test_each_image_is_decoded_once(
    alike: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: Counter[str] = Counter()
    read = FolderReader.read_image

    def counted(self: FolderReader, case: object) -> np.ndarray:
        decoded[case.id] += 1  # type: ignore[attr-defined]
        return read(self, case)  # type: ignore[arg-type]

    monkeypatch.setattr(FolderReader, "read_image", counted)
    told: list[tuple[int, int]] = []
    summarise(alike, tmp_path / "p.html", progress=lambda done, total: told.append((done, total)))
    assert decoded == {f"c{number}": 1 for number in range(8)}
    assert told[-1] == (8, 8)


def test_damaged_files_leave_a_page_that_says_so(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(6)
    image = tmp_path / "images" / "case2.png"
    image.write_bytes(image.read_bytes()[:-900])
    page = Page(summarise(settings, tmp_path / "page.html"))
    assert len(page.captions) == 5
    assert "damaged" in page.text
    assert "Not ready to train on: 1 problem to mend." in page.words


def test_where_there_is_nothing_there_is_no_page(tmp_path: Path, make_folder: Make) -> None:
    with pytest.raises(DataError):
        summarise(DataSettings(dataset="jsrt", data_root=tmp_path), tmp_path / "page.html")
    with pytest.raises(UsageError):
        summarise(make_folder(6, image_size="huge"), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_objects_have_charts_of_their_own(
    make_folder: Make, tmp_path: Path, save_picture: Save
) -> None:
    settings = make_folder(5, values=(0, 1))
    for number in range(1, 6):
        mask = np.zeros((40, 48), np.uint8)
        mask[:8, :8], mask[20:30, 20:30] = 1, 2
        save_picture(tmp_path / "masks" / f"case{number}.png", (mask > 0).astype(np.uint8))
        save_picture(tmp_path / "instances" / f"case{number}.png", mask)
    out = summarise(settings, tmp_path / "page.html")
    assert "Objects by their size" in out.read_text()
    assert all("2 objects" in caption for caption in Page(out).captions)
    assert "10 in 5 cases" in Page(out).text
