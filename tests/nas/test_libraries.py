"""Networks of other libraries, as these make them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas import libraries
from nas.errors import UsageError
from nas.libraries import all_parameters, construct_foreign, describe, is_foreign, own_parameters
from nas.specifications import REQUIRED, parse_specification
from search_spaces.description import Role

monai = pytest.importorskip("monai")
nets = pytest.importorskip("monai.networks.nets")

SMP = "segmentation_models_pytorch"
STAND_IN = """
from torch import nn


class SegmentationModel(nn.Module):
    def __init__(self):
        super().__init__()


class Unet(SegmentationModel):
    def __init__(
        self, encoder_name: str = "resnet34", encoder_depth: int = 5,
        encoder_weights: str | None = "imagenet", decoder_channels: tuple[int, ...] = (16, 8),
        in_channels: int = 3, classes: int = 1, activation: str | None = None, **kwargs,
    ):
        super().__init__()
        self.given = dict(locals())
        if encoder_name != "resnet34":
            raise KeyError(f"Wrong encoder name {encoder_name}")
        self.encoder = nn.Conv2d(in_channels, classes, 1)

    def forward(self, x):
        return self.encoder(x)


def helper(text: str) -> str:
    return text
"""


@pytest.fixture
def smp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the name and calling convention of segmentation_models_pytorch."""
    package = tmp_path / SMP
    package.mkdir()
    (package / "__init__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    real = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(SMP)}
    yield package
    sys.modules.pop(SMP, None)
    sys.modules.update(real)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module of the user's own into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])

    def write(name: str, text: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def construct(
    text: str, role: Role = "segmenter", in_channels: int = 2, outputs: int = 3
) -> nn.Module:
    torch.manual_seed(0)
    return construct_foreign(parse_specification(text), role, in_channels, outputs)


def refuse(text: str, *words: str, role: Role = "segmenter") -> None:
    with pytest.raises(UsageError) as error:
        construct(text, role, outputs=3 if role == "segmenter" else 1)
    for word in words:
        assert word in str(error.value), (word, str(error.value))


def assert_same(network: nn.Module, expected: nn.Module) -> None:
    weights, others = network.state_dict(), expected.state_dict()
    assert list(weights) == list(others)
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("name", ["smp:Unet", "monai:UNet", "python:a.b:c"])
def test_prefixes_decide(name: str) -> None:
    assert is_foreign(name)


@pytest.mark.parametrize("name", ["unet", "timm:resnet", "smp", "cells.json", "C:/cells.json"])
def test_other_names_are_the_toolkits(name: str) -> None:
    assert not is_foreign(name)


# MONAI


def test_monai_is_given_the_ends_and_two_dimensions() -> None:
    """The same weights as from MONAI's own constructor with everything spelt out."""
    network = construct("monai:UNet?channels=4,8&strides=2&num_res_units=1&dropout=0.5")
    torch.manual_seed(0)
    expected = nets.UNet(
        spatial_dims=2,
        in_channels=2,
        out_channels=3,
        channels=(4, 8),
        strides=(2,),
        num_res_units=1,
        dropout=0.5,
    )
    assert_same(network, expected)


@pytest.mark.parametrize(
    "text",
    [
        "monai:resnet10",
        "monai:SEResNet50?layers=1,1,1,1",
        "monai:Quicknat?num_filters=4",
        "monai:DenseNet121?init_features=4&growth_rate=4&block_config=1,1",
    ],
)
def test_ends_under_other_names(text: str) -> None:
    network = construct(text, in_channels=5, outputs=7)
    weights = [each for each in network.parameters() if each.ndim > 1]
    assert weights[0].shape[1] == 5
    assert weights[-1].shape[0] == 7


def test_sequences_and_names_with_arguments() -> None:
    text = "monai:UNet?channels=4,8&strides=(2,)&norm=('group',{'num_groups':2})"
    groups = [m for m in construct(text).modules() if isinstance(m, nn.GroupNorm)]
    assert {m.num_groups for m in groups} == {2}


def test_another_number_of_dimensions_is_the_users_to_choose() -> None:
    network = construct("monai:UNet?channels=4,8&strides=2&spatial_dims=3")
    assert any(isinstance(m, nn.Conv3d) for m in network.modules())


def test_monai_downloads_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from monai.networks.nets import efficientnet

    def download(*_: object, **__: object) -> None:
        raise ConnectionError("asked to download")

    monkeypatch.setattr(efficientnet, "_load_state_dict", download)
    text = "monai:EfficientNetBN?model_name=efficientnet-b0"
    assert inspect.signature(nets.EfficientNetBN).parameters["pretrained"].default is True
    construct(text, "discriminator")
    refuse(f"{text}&pretrained=true", "asked to download")


def test_discriminators_of_a_fixed_size_pool_before_their_linear_layer() -> None:
    """Where MONAI's own network has features of 1x1 there is nothing to pool: both are the same."""
    text = "monai:Discriminator?channels=4,8&strides=2,2&norm=batch"
    network = construct(text, "discriminator").eval()
    torch.manual_seed(0)
    expected = nets.Discriminator((2, 4, 4), (4, 8), (2, 2), norm="batch", last_act=None).eval()
    maps = torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(network(maps), expected(maps))
    assert network(torch.rand(3, 2, 33, 65)).shape == (3, 1)


def test_discriminators_give_logits_unless_the_user_has_it_otherwise() -> None:
    text = "monai:Discriminator?channels=4&strides=2"
    assert not any(isinstance(m, nn.Sigmoid) for m in construct(text, "discriminator").modules())
    squashed = construct(f"{text}&last_act=sigmoid", "discriminator")
    assert any(isinstance(m, nn.Sigmoid) for m in squashed.modules())


def test_mistakes_with_monai() -> None:
    refuse("monai:UNett", "'UNett'", "did you mean 'UNet'?")
    refuse("monai:drop_connect", "no network 'drop_connect'")
    refuse("monai:UNet", "needs channels, strides", "UNet?channels=...&strides=...")
    refuse("monai:UNet?strides=2", "monai:UNet?strides=2&channels=...")
    refuse("monai:UNet?chanels=4,8&strides=2", "did you mean 'channels'?", "spatial_dims=2")
    refuse("monai:UNet?channels=4,x&strides=2", "channels=4,x", "does not fit")
    refuse("monai:UNet?channels=4,8&strides=2&out_channels=3", "'out_channels'", "the toolkit")
    refuse("monai:UNet?channels=4,8&strides=2&norm=nonsense", "cannot be built", "NONSENSE")
    refuse("monai:Discriminator?channels=4&strides=2&in_shape=2,64,64", "'in_shape'")
    refuse("monai:DenseNet121?growth=4", "no option 'growth'", "growth_rate=32")


def test_options_that_are_passed_on_belong_to_who_takes_them() -> None:
    known, others = all_parameters(nets.resnet10)
    assert not others
    assert {"pretrained", "n_input_channels", "num_classes", "conv1_t_size"} <= set(known)
    assert not {"block", "layers", "block_inplanes"} & set(known)
    assert known["spatial_dims"].default == 3


# segmentation_models_pytorch


@pytest.mark.usefixtures("smp")
def test_smp_is_given_the_ends_and_no_weights() -> None:
    given: Any = construct("smp:Unet?decoder_channels=8,4&encoder_depth=2").given
    assert given["in_channels"] == 2
    assert given["classes"] == 3
    assert given["encoder_weights"] is None
    assert given["decoder_channels"] == (8, 4)
    assert given["encoder_depth"] == 2
    assert given["encoder_name"] == "resnet34"


@pytest.mark.usefixtures("smp")
def test_smp_loads_the_weights_that_are_named() -> None:
    given: Any = construct("smp:Unet?encoder_weights=imagenet").given
    assert given["encoder_weights"] == "imagenet"


@pytest.mark.usefixtures("smp")
def test_mistakes_with_smp() -> None:
    refuse("smp:UNet", "did you mean 'Unet'?")
    refuse("smp:helper", "no network 'helper'")
    refuse("smp:Unet?encoder_nam=resnet34", "did you mean 'encoder_name'?")
    refuse("smp:Unet?classes=5", "'classes'", "the toolkit")
    refuse("smp:Unet?encoder_name=resnet9", "cannot be built", "Wrong encoder name resnet9")


def test_libraries_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"smp": libraries.Library("no_such_library.nets", "smp")}
    monkeypatch.setattr(libraries, "LIBRARIES", absent)
    refuse("smp:Unet", "no_such_library", "pip install 'discriminator-nas[smp]'")


def test_libraries_that_do_not_work(smp: Path) -> None:
    (smp / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms is missing')")
    refuse("smp:Unet", "cannot be imported", "torchvision::nms is missing")
    (smp / "__init__.py").write_text("import no_such_dependency")
    refuse("smp:Unet", "is installed but cannot be imported", "no_such_dependency")


def test_the_real_smp() -> None:
    """Where it is installed and torchvision fits torch."""
    try:
        import segmentation_models_pytorch as real
    except Exception as error:
        pytest.skip(f"segmentation_models_pytorch cannot be imported: {error}")
    network = construct("smp:Unet?encoder_name=resnet18&decoder_channels=32,16,8,8,4")
    torch.manual_seed(0)
    expected = real.Unet(
        "resnet18",
        encoder_weights=None,
        decoder_channels=(32, 16, 8, 8, 4),
        in_channels=2,
        classes=3,
    )
    assert_same(network, expected)
    refuse("smp:Unet?encoder_nam=resnet34", "did you mean 'encoder_name'?")
    refuse("smp:Unet?encoder_name=resnet340", "Wrong encoder name")


# One's own

OWN = """
from torch import nn


def net(channels, classes, width: int = 4, *, names: tuple[str, ...] = (), **more):
    network = nn.Conv2d(channels, classes, width)
    network.given = (channels, classes, width, names, more)
    return network


def adversary(in_channels, *, width: int = 4):
    return nn.Conv2d(in_channels, 1, width)


class Net(nn.Module):
    def __init__(self, channels, classes, deep: bool = False):
        super().__init__()
        self.deep = deep


def closed(channels, classes, *, width: int = 4):
    raise ValueError("width is odd")


def number(channels, classes):
    return 3


constant = 3
"""


def test_a_factory_in_the_current_folder(module: Callable[[str, str], None]) -> None:
    module("own_a.nets", OWN)
    network: Any = construct("python:own_a.nets:net?width=5&names=a,b&other=1,2")
    assert network.given == (2, 3, 5, ("a", "b"), {"other": (1, 2)})
    assert construct("python:own_a.nets:adversary", "discriminator", 5, 1).in_channels == 5
    made: Any = construct("python:own_a.nets:Net?deep=true")
    assert made.deep is True


def test_mistakes_with_ones_own(module: Callable[[str, str], None], tmp_path: Path) -> None:
    module("own_b", OWN)
    refuse("python:own_b", "python:PACKAGE.MODULE:FACTORY")
    refuse("python:own_b:", "python:PACKAGE.MODULE:FACTORY")
    refuse("python:no_own:net", "no module 'no_own'", str(tmp_path))
    refuse("python:own_b.deeper:net", "no module 'own_b.deeper'")
    refuse("python:own_b:nett", "did you mean 'net'?")
    refuse("python:sys:no_such_name", "sys has no function or class")
    refuse("python:own_b:constant", "no function or class 'constant'")
    refuse("python:own_b:closed?widht=3", "did you mean 'width'?")
    refuse("python:own_b:closed?channels=3", "no option 'channels'")
    refuse("python:own_b:closed", "ValueError: width is odd (own_b.py:22)")
    refuse("python:own_b:number", "made 'int'", "torch.nn.Module")


def test_modules_that_fail_on_import(module: Callable[[str, str], None]) -> None:
    module("own_c", "import torch\nimport no_such_dependency\n")
    refuse("python:own_c:net", "fails on import", "no_such_dependency", "(own_c.py:2)")
    module("own_d", "def net(:\n")
    refuse("python:own_d:net", "fails on import", "SyntaxError")


def test_the_current_folder_is_put_on_the_path_once(module: Callable[[str, str], None]) -> None:
    module("own_e", OWN)
    before = list(sys.path)
    construct("python:own_e:net")
    construct("python:own_e:net")
    assert sys.path[1:] == before


def test_parameters_that_cannot_be_known() -> None:
    assert own_parameters(dict).others
    assert own_parameters(lambda a, b=2: None).known["a"].default is REQUIRED
    assert list(own_parameters(lambda a, /, b, *c, d=1: None, skipped=2).known) == ["d"]


def test_errors_in_a_line() -> None:
    with pytest.raises(UsageError) as error:
        construct("monai:UNet?channels=4,8&strides=2&norm=nonsense")
    assert ".py:" not in str(error.value), "where a library fails says nothing to its user"
    assert describe(ValueError("two\n  lines.")) == "ValueError: two lines"
    assert describe(KeyError()) == "KeyError: no message"
