"""Networks of other libraries by specification.

The prefix of the name decides:

    smp:Unet?encoder_name=resnet34                              segmentation_models_pytorch
    monai:AttentionUnet?channels=16,32&strides=2                monai.networks.nets
    python:package.module:factory?option=value                  any function or class

Of smp and MONAI the toolkit gives the channels and outputs under the names that the constructor
has for them, and what makes it a two-dimensional network of logits: ``spatial_dims=2`` and
``last_act=None``, unless the user names these. Weights are downloaded only when the user asks for
them: ``encoder_weights=None`` and ``pretrained=False`` otherwise. A factory of one's own is called
as ``factory(in_channels, classes, **options)`` for a segmenter and ``factory(in_channels,
**options)`` for a discriminator; like ``python -m``, it is found in the current folder too.

What comes out is the library's own module; `nas.adapters` sees to its manners.
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.errors import UsageError
from nas.specifications import (
    REQUIRED,
    Option,
    Specification,
    check_options,
    did_you_mean,
    list_options,
)
from search_spaces.description import Role

if TYPE_CHECKING:
    from torch import nn

PYTHON = "python"


class Library(NamedTuple):
    """A library of networks.

    Attributes:
        module: where its networks are.
        extra: what installs it.
    """

    module: str
    extra: str


LIBRARIES = {
    "smp": Library("segmentation_models_pytorch", "smp"),
    "monai": Library("monai.networks.nets", "zoo"),
}
PREFIXES = (*LIBRARIES, PYTHON)
CHANNELS = ("in_channels", "n_input_channels", "num_channels")
"""What constructors call the number of input channels; the first that a constructor has counts."""

OUTPUTS = ("out_channels", "classes", "num_classes")
"""The same for the number of outputs."""

GIVEN = {*CHANNELS, *OUTPUTS, "spatial_dims"}
"""Required parameters that the toolkit gives, whoever asks for them."""

SHAPE = "in_shape"
"""What MONAI calls the channels and size that a network with a linear layer is made for."""

PREFERRED = {
    "spatial_dims": 2,
    "encoder_weights": None,
    "pretrained": False,
    "last_act": None,
}
"""Values for parameters of these names, where the user names no other."""


class Parameters(NamedTuple):
    """What a constructor takes.

    Attributes:
        known: its parameters by name.
        others: whether it passes on any other option too.
    """

    known: dict[str, Option]
    others: bool


def is_foreign(name: str) -> bool:
    """Whether a network's name is one of another library."""
    prefix, colon, _ = name.partition(":")
    return bool(colon) and prefix in PREFIXES


def construct_foreign(spec: Specification, role: Role, in_channels: int, outputs: int) -> nn.Module:
    """The network as its library makes it.

    Args:
        spec: the name with its prefix, and options.
        role: which of the two networks it is for.
        in_channels: channels of its input.
        outputs: classes of a segmenter; 1 for a discriminator.

    Raises:
        UsageError: the library or network is not there, an option is unknown, missing or refused,
            or what comes out is no module.
    """
    prefix, _, name = spec.name.partition(":")
    if prefix == PYTHON:
        given = (in_channels, outputs) if role == "segmenter" else (in_channels,)
        factory = find_factory(name)
        parameters = own_parameters(factory, skipped=len(given))
        return call(spec, factory, given, choose_options(spec, parameters))
    constructor = find_network(prefix, name)
    parameters = all_parameters(constructor)
    decided = decide(parameters, in_channels, outputs)
    for name in decided:
        if name in spec.options:
            raise UsageError(f"{spec.name} has no option {name!r}: the toolkit gives it a value.")
    preferred = {name: value for name, value in PREFERRED.items() if name in parameters.known}
    chosen = choose_options(spec, with_defaults(without(parameters, decided), preferred))
    network = call(spec, constructor, (), {**preferred, **chosen, **decided})
    return pool_before_linear(network) if SHAPE in decided else network


def find_network(prefix: str, name: str) -> Callable[..., Any]:
    """A network's constructor in a library.

    Raises:
        UsageError: the library cannot be imported, or has no such network.
    """
    from torch import nn

    library = LIBRARIES[prefix]
    networks = {
        key: value
        for key, value in vars(import_library(prefix)).items()
        if not key.startswith("_") and issubclass(made_by(value) or object, nn.Module)
    }
    if name not in networks:
        raise UsageError(
            f"{library.module} has no network {name!r}{did_you_mean(name, networks)}. Its "
            "documentation lists those it has; capitals matter."
        )
    constructor: Callable[..., Any] = networks[name]
    return constructor


def made_by(value: Any) -> type | None:
    """The class of what a class or function makes; None where that is not known."""
    if inspect.isfunction(value):
        value = signature(value).return_annotation
    return value if inspect.isclass(value) else None


def import_library(prefix: str) -> ModuleType:
    """Import a library.

    Raises:
        UsageError: it is not installed, or does not work where it is.
    """
    library = LIBRARIES[prefix]
    install = f"pip install 'discriminator-nas[{library.extra}]'"
    package = library.module.partition(".")[0]
    try:
        return import_module(library.module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise UsageError(
                f"Networks of the kind {prefix}: need {package}, which is not installed: {install}."
            ) from error
        raise UsageError(
            f"{package} is installed but cannot be imported ({describe(error)}). Mend that first: "
            f"{install} completes it, and torchvision, if that is named, must be the version made "
            "for this torch."
        ) from error


def find_factory(name: str) -> Callable[..., Any]:
    """The function or class of ``package.module:factory``.

    Raises:
        UsageError: there is no such module or factory, or the module fails on import.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and attribute):
        raise UsageError(
            f"Cannot read {PYTHON}:{name}: {PYTHON}:PACKAGE.MODULE:FACTORY was expected."
        )
    module = import_own(module_name)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        there = [key for key, value in vars(module).items() if callable(value)]
        file = getattr(module, "__file__", None) or module_name
        raise UsageError(
            f"{file} has no function or class {attribute!r}{did_you_mean(attribute, there)}."
        )
    return factory


def import_own(name: str) -> ModuleType:
    """Import a module of the user's own, from the current folder too.

    Raises:
        UsageError: it is not there, or fails on import.
    """
    folder = os.getcwd()
    if not {"", folder} & set(sys.path):
        sys.path.insert(0, folder)
    try:
        return import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise UsageError(
                f"There is no module {name!r} in {folder} or where Python looks for modules. Run "
                "from the folder that holds it, or install it."
            ) from error
        raise UsageError(f"The module {name!r} fails on import: {describe(error)}.") from error


def all_parameters(constructor: Callable[..., Any]) -> Parameters:
    """The parameters of a constructor, and of what it passes its other options on to.

    That is the next class with a constructor of its own, or the class that a function returns.
    What these require is given by who passes it on, but for the ends of the network.
    """
    from torch import nn

    made = made_by(constructor)
    chain = [] if inspect.isclass(constructor) else [own_parameters(constructor)]
    for each in made.__mro__ if made is not None else ():
        if "__init__" in vars(each) and each not in nn.Module.__mro__:
            chain.append(own_parameters(vars(each)["__init__"], skipped=1))
    known: dict[str, Option] = {}
    for found in chain:
        inner = found is not chain[0]
        known = {
            name: option
            for name, option in found.known.items()
            if not inner or option.default is not REQUIRED or name in GIVEN
        } | known
        if not found.others:
            return Parameters(known, False)
    return Parameters(known, True)


def own_parameters(constructor: Callable[..., Any], skipped: int = 0) -> Parameters:
    """The parameters of a class or function that can be given by name.

    Args:
        constructor: the class or function.
        skipped: how many of the first are given by position.
    """
    try:
        parameters = list(signature(constructor).parameters.values())
    except ValueError:
        return Parameters({}, True)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {
        each.name: Option(each.annotation, each.default)
        for place, each in enumerate(parameters)
        if each.kind in by_name and (place >= skipped or each.kind is by_name[1])
    }
    others = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    return Parameters(known, others)


def signature(constructor: Callable[..., Any]) -> inspect.Signature:
    """The signature, with annotations evaluated where that is possible."""
    try:
        return inspect.signature(constructor, eval_str=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return inspect.signature(constructor)


def decide(parameters: Parameters, in_channels: int, outputs: int) -> dict[str, Any]:
    """What the toolkit gives a constructor with these parameters, and no user can change."""
    decided: dict[str, Any] = {}
    for names, value in ((CHANNELS, in_channels), (OUTPUTS, outputs)):
        found = [name for name in names if name in parameters.known]
        decided |= dict.fromkeys(found[:1], value)
    if SHAPE in parameters.known:
        decided[SHAPE] = (in_channels, 1, 1)
    return decided


def without(parameters: Parameters, names: Collection[str]) -> Parameters:
    """The parameters but for some."""
    known = {name: each for name, each in parameters.known.items() if name not in names}
    return parameters._replace(known=known)


def with_defaults(parameters: Parameters, defaults: Mapping[str, Any]) -> Parameters:
    """The parameters with other defaults for some."""
    changed = {
        name: Option(parameters.known[name].annotation, value) for name, value in defaults.items()
    }
    return parameters._replace(known=parameters.known | changed)


def choose_options(spec: Specification, parameters: Parameters) -> dict[str, Any]:
    """The values that the user gave.

    Raises:
        UsageError: an option is unknown, missing, or has a value that does not fit.
    """
    known = parameters.known
    values = check_options(spec, known, parameters.others)
    missing = [
        name for name, each in known.items() if each.default is REQUIRED and name not in values
    ]
    if missing:
        given = [f"{key}={text}" for key, text in spec.options.items()]
        wanted = [f"{name}=..." for name in missing]
        raise UsageError(
            f"{spec.name} needs {', '.join(missing)}: {spec.name}?{'&'.join([*given, *wanted])}. "
            f"Its options and their defaults: {list_options(known)}."
        )
    return values


def call(
    spec: Specification,
    constructor: Callable[..., Any],
    given: tuple[int, ...],
    options: Mapping[str, Any],
) -> nn.Module:
    """Construct the network.

    Raises:
        UsageError: the constructor fails, or makes no module.
    """
    from torch import nn

    try:
        network = constructor(*given, **options)
    except MemoryError:
        raise
    except Exception as error:
        raise UsageError(f"{spec.name} cannot be built: {describe(error)}.") from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"{spec.name} made {type(network).__name__!r}, where a torch.nn.Module was expected."
        )
    return network


def pool_before_linear(network: nn.Module) -> nn.Module:
    """Let MONAI's networks with a linear layer take any size: they pool adaptively before it.

    MONAI's Regressor and its descendants (Classifier, Discriminator) flatten features whose size is
    that of ``in_shape`` over the strides; made for a size of 1x1 and with the pooling, they see one
    feature per channel. (Critic, which averages all features, takes any size as it is.)
    """
    from torch import nn

    final = getattr(network, "final", None)
    if isinstance(final, nn.Sequential):
        network.final = nn.Sequential(nn.AdaptiveAvgPool2d(1), *final)
    return network


def describe(error: BaseException) -> str:
    """An error in one line: its kind, its message, and where in the user's own files it arose."""
    message = " ".join(str(error).split()) or "no message"
    others = (sysconfig.get_path("stdlib"), os.path.dirname(__file__), "<")
    own = [
        f" ({os.path.basename(frame.filename)}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(others)
    ]
    return f"{type(error).__name__}: {message.rstrip('.')}{''.join(own[-1:])}"
