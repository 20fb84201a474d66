from nas.data.check import Objects, Report
from nas.data.summary_page import Contents, page, rows_of


def test_the_table_says_everything_that_was_counted() -> None:
    report = Report(
        dataset="glas",
        cases=7,
        sizes={f"{side}x9": side for side in range(1, 9)},
        kinds={"8-bit RGB": 7},
        split={"train": 5, "val": 0, "test": 2},
        groups=3,
        without_foreground=("a",),
        duplicates=(("a", "b"), ("c", "d", "e")),
        near_duplicates=(("a", "b", "f"),),
        objects=Objects(cases=6, count=40, smallest=2, median=17.5, without=1),
        field_of_view=0.5,
    )
    rows = dict(rows_of(report))
    assert rows["Sizes (height x width)"] == "8x9: 8, 7x9: 7, 6x9: 6, 5x9: 5, 4x9: 4, 3x9: 3, ..."
    assert rows["Split"] == "5 train, 0 val, 2 test"
    assert (rows["Equal images"], rows["Images nearly the same"]) == ("5", "3")
    assert (rows["Groups"], rows["Masks without foreground"]) == ("3", "1")
    assert rows["Field of view"] == "50.0 % of an image"
    assert rows["Objects"].startswith("40 in 6 cases; half of them have 18 pixels")
    assert "Objects" not in dict(rows_of(Report(dataset="glas", cases=1)))


def test_the_verdict_has_its_colour() -> None:
    good = page(Contents(report=Report(dataset="glas", cases=1), place="<here>"))
    assert 'class="verdict ready">Ready to train on.' in good
    assert "&lt;here&gt;" in good and "<here>" not in good
    bad = Report(dataset="glas", cases=1, problems=("A.",))
    assert 'class="verdict not-ready">Not ready' in page(Contents(report=bad, place=""))


def test_unknown_pixels_stand_in_the_legend_and_in_the_table() -> None:
    report = Report(
        dataset="ctc",
        cases=2,
        classes=("background", "cell"),
        shares=(0.5, 0.3),
        unknown=0.2,
        split_shares={"train": (0.6, 0.4), "test": (0.25, 0.25)},
    )
    text = page(Contents(report=report, place=""))
    row = text.partition("<th>unknown</th>")[2].partition("</tr>")[0]
    assert [cell.split("<")[0] for cell in row.split('class="number">')[1:]] == [
        "20.00 %",
        "0.00 %",
        "50.00 %",
    ]
    assert "rgb(230,159,0)" in text
    assert "rgb(128,128,128)" in text
    known = page(Contents(report=Report(dataset="ctc", cases=2, classes=("b", "c")), place=""))
    assert "unknown" not in known
