import math
from xml.etree import ElementTree

from nas.report.blocks import Charts, Heading, Text
from nas.report.charts import BOTTOM, LINE_HEIGHT, TOP
from nas.report.curves import health_blocks, learning_charts, probability_blocks, series
from search_spaces.cell_genotype import Cell, CellGenotype, Edge, Network, Relaxation
from search_spaces.parametric_genotypes import Choice, Choices, FlexVGG, FlexVGGGenotype

RECORDS = [
    {"epoch": 1, "segmenter_loss": 1.0, "mean_iou": 0.2, "real_accuracy": 0.5, "by_shape": None},
    {"epoch": 2, "segmenter_loss": math.nan, "mean_iou": 0.4, "real_accuracy": 1.0},
]


def test_each_metric_is_in_its_panel_and_health_apart() -> None:
    assert [each.title for each in learning_charts(RECORDS)] == ["Losses", "Segmentation"]
    sentence, charts = health_blocks(RECORDS, "It won.")
    assert isinstance(sentence, Text) and sentence.sentences == ["It won."]
    assert isinstance(charts, Charts)
    assert [each.title for each in charts.charts] == ["Discriminator's accuracy"]
    assert series(RECORDS, "segmenter_loss") == [(1.0, 1.0), (2.0, None)]


def test_a_training_without_discriminator_says_so() -> None:
    (block,) = health_blocks([{"epoch": 1, "segmenter_loss": 1.0}], None)
    assert isinstance(block, Text) and block.look == "missing"


def cells(first: float) -> CellGenotype:
    """One node, whose edge from 0 has the alpha (first, 0)."""
    cell = Cell(nodes=((Edge("skip_connect", 0), Edge("skip_connect", 1)),), concat=(2,))
    alpha = ((first, 0.0), (0.0, 0.0))
    relaxation = Relaxation(operations=("none", "skip_connect"), normal=alpha, reduction=alpha)
    return CellGenotype(normal=cell, reduction=cell, network=Network(), relaxation=relaxation)


def test_probabilities_of_an_edge_are_drawn_over_the_epochs_of_the_files() -> None:
    moved = [(1, cells(0.0)), (4, cells(math.log(3.0)))]
    normal, charts, reduction, _ = probability_blocks(moved)
    assert isinstance(normal, Heading) and isinstance(reduction, Heading)
    assert (normal.text, reduction.text) == ("normal cell", "reduction cell")
    assert isinstance(charts, Charts)
    assert [each.title for each in charts.charts] == ["c[k-2] to 0", "c[k-1] to 0"]
    assert [name for name, *_ in charts.legend] == ["none", "skip connect"]
    lines = list(ElementTree.fromstring(charts.charts[0].svg).iter("polyline"))
    ends = [line.attrib["points"].split() for line in lines]
    height = LINE_HEIGHT - BOTTOM - TOP

    def level(y: str) -> float:
        return (LINE_HEIGHT - BOTTOM - float(y.split(",")[1])) / height

    assert [[round(level(each), 2) for each in end] for end in ends] == [
        [round(0.5 / 0.8, 2), round(0.75 / 0.8, 2)],
        [round(0.5 / 0.8, 2), round(0.25 / 0.8, 2)],
    ]
    ticks = [each.text for each in ElementTree.fromstring(charts.charts[0].svg).iter("text")]
    assert ticks[-5:-1] == ["1", "2", "3", "4"]


def test_numbers_that_were_searched_have_a_chart_each() -> None:
    choices = {"depth": Choice(candidates=(1, 2), alpha=(0.0, 0.0))}
    choices |= {"blocks": Choice(candidates=(4,), alpha=(0.0,))}
    found = FlexVGGGenotype(FlexVGG(depth=2), relaxation=Choices(choices))
    (charts,) = probability_blocks([(1, found), (2, found)])
    assert isinstance(charts, Charts)
    (chart,) = charts.charts
    assert chart.title == "depth"
    assert [name for name, *_ in chart.legend] == ["1", "2"]


def test_a_genotype_without_alpha_has_no_probabilities() -> None:
    (block,) = probability_blocks([(1, FlexVGGGenotype(FlexVGG()))])
    assert isinstance(block, Text) and block.look == "missing"
