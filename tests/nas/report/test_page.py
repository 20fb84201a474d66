"""The page as text, and in a real browser without a network."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.page_pictures import data_uri, png
from nas.report.blocks import (
    Block,
    Card,
    Cards,
    CaseFigure,
    Charts,
    Commands,
    Heading,
    Layer,
    Listing,
    Page,
    Picture,
    Section,
    Table,
    Text,
    Viewer,
)
from nas.report.charts import Line, line_chart
from nas.report.page import html

HOSTILE = (
    """"><img src=x onerror="document.title='taken'"><script>document.title='taken'</script>'&"""
)
GREY, RED = (90, 90, 90), (200, 0, 0)


def case(id: str, place: str) -> CaseFigure:
    """A grey image of 40x40 pixels under an opaque red layer."""
    image = data_uri(png(Image.new("RGB", (40, 40), GREY)))
    layer = data_uri(png(Image.new("RGB", (40, 40), RED)))
    layers = [Layer("image", None), Layer("truth", layer), Layer("prediction", layer, HOSTILE)]
    return CaseFigure(id, place, f"mean IoU of {id}", image, 40, 40, layers)


def every_block(word: str = "word") -> list[Block]:
    chart = line_chart(word, [Line(word, [(1, 1.0), (2, 2.0)]), Line("b", [(1, 2.0), (2, 2.0)])])
    cases = [case("first", "best"), case(word, "median"), case("third", "worst")]
    return [
        Text([word], "verdict"),
        Text([word], "warning"),
        Heading(word),
        Cards([Card(word, word, word)]),
        Table([word, "b"], [[word, "1" * 300]], word, marked=[0]),
        Charts([chart], legend=chart.legend, caption=word),
        Picture(data_uri(png(Image.new("L", (900, 20)))), word, word, minimum=560),
        Viewer("test", cases, [(word, "rgb(1,2,3)")], word),
        Viewer("val", cases[:1], [], word),
        Commands([(word, f"nas-retrain {word} " + "x" * 300)]),
        Listing(word, word),
    ]


def page(word: str = "word") -> str:
    return html(
        Page(word, word, [(word, True), ("b", False)], [Section("a", word, every_block(word))])
    )


def test_nothing_is_loaded_from_anywhere(read: Callable[[str], Any]) -> None:
    text = page()
    found = read(text)
    assert all(each.startswith(("data:image/", "#")) for each in found.references)
    assert {each for each in found.references if each.startswith("#")} == {
        *("#a", "#image-test-1", "#image-test-2", "#image-test-3", "#image-val-1")
    }
    assert len(set(found.ids)) == len(found.ids)
    assert {each.removeprefix("#") for each in found.references if each[0] == "#"} <= set(found.ids)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)


def test_hostile_words_stay_words(read: Callable[[str], Any]) -> None:
    calm, found = read(page()), read(page(HOSTILE))
    assert found.tags == calm.tags
    assert found.handlers == []
    assert found.text.count("onerror=") > 15


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page of a given text, offline; what it complains of or asks for is an error."""
    complaints: list[str] = []
    contexts = []

    def show(text: str, width: int = 390, **options: Any) -> Any:
        (tmp_path / "page.html").write_text(text)
        context = browser.new_context(
            viewport={"width": width, "height": 800}, offline=True, **options
        )
        contexts.append(context)
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("request", lambda each: complaints.append(each.url) if remote(each.url) else None)
        opened.goto((tmp_path / "page.html").as_uri())
        return opened

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


def remote(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


def middle(element: Any) -> tuple[int, ...]:
    """The colour in the middle of an element, as it is on the screen."""
    pixels = np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"))
    return tuple(int(each) for each in pixels[pixels.shape[0] // 2, pixels.shape[1] // 2])


def test_buttons_and_arrow_keys_step_through_the_cases(shown: Callable[..., Any]) -> None:
    opened = shown(page())
    viewer = opened.locator("#viewer-test")

    def visible() -> tuple[str, str]:
        (name,) = [each for each in viewer.locator(".case h4").all() if each.is_visible()]
        return viewer.locator(".position").inner_text(), name.inner_text().split()[1]

    assert visible() == ("1 of 3", "first")
    viewer.get_by_label("next image").click()
    assert visible() == ("2 of 3", "word")
    viewer.press("ArrowRight")
    assert visible() == ("3 of 3", "third")
    viewer.press("ArrowRight")
    assert visible() == ("1 of 3", "first")
    viewer.press("ArrowLeft")
    assert visible() == ("3 of 3", "third")
    viewer.get_by_label("previous image").click()
    assert visible() == ("2 of 3", "word")
    assert opened.locator("#viewer-val .position").inner_text() == "1 of 1"


def test_the_slider_blends_the_masks_over_the_image(shown: Callable[..., Any]) -> None:
    opened = shown(page())
    slider = opened.locator("#viewer-test input[type=range]")
    image, truth, _ = opened.locator("#viewer-test .case.shown svg").all()
    for value in (0, 50, 100):
        slider.fill(str(value))
        part = value / 100
        expected = [(1 - part) * grey + part * red for grey, red in zip(GREY, RED, strict=True)]
        assert middle(truth) == pytest.approx(expected, abs=2)
        assert middle(image) == GREY
    slider.press("ArrowLeft")
    assert slider.input_value() == "99"
    assert opened.locator("#viewer-test .position").inner_text() == "1 of 3"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_screen_is_too_narrow(shown: Callable[..., Any], width: int) -> None:
    opened = shown(page("a" * 120), width)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    table = opened.locator(".scroll").first
    assert table.evaluate("each => each.scrollWidth > each.clientWidth")


def test_hostile_words_do_nothing_in_a_browser(shown: Callable[..., Any]) -> None:
    opened = shown(page(HOSTILE))
    opened.wait_for_timeout(100)
    assert opened.title() == HOSTILE


def test_light_and_dark_follow_the_reader(shown: Callable[..., Any]) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        opened = shown(page(), color_scheme=scheme)
        style = "each => [getComputedStyle(each).backgroundColor, getComputedStyle(each).color]"
        ground, ink = opened.locator("body").evaluate(style)
        colours[scheme] = [sum(map(int, re.findall(r"\d+", each))) for each in (ground, ink)]
    assert colours["light"][0] > 700 > 150 > colours["light"][1]
    assert colours["dark"][0] < 150 < 600 < colours["dark"][1]


def test_paper_and_a_browser_without_scripts_show_all_cases(shown: Callable[..., Any]) -> None:
    opened = shown(page())
    count = "[...document.querySelectorAll('.case')].filter(each => each.offsetHeight > 0).length"
    assert opened.evaluate(count) == 2
    opened.emulate_media(media="print")
    assert opened.evaluate(count) == 4
    plain = shown(page(), java_script_enabled=False)
    assert [each.is_visible() for each in plain.locator(".case").all()] == [True] * 4
    assert not plain.locator("#viewer-test button").first.is_visible()
