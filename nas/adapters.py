"""Networks of other libraries behind the toolkit's face.

A network that was made elsewhere is tried on tiny images before anything trains with it: does it
take the channels, give logits of the right shape, and work at any size? One that does is used as
it is. Two habits are adapted, any other is refused with a sentence:

- **Sizes.** A network that needs heights and widths divisible by some number gets its input padded
  with zeros at the bottom and on the right, as its convolutions pad it, up to the next multiple,
  and its output is cropped again.
- **Several outputs.** Of a list, tuple or dictionary of outputs (auxiliary heads, deep
  supervision, features), the only one that has the shape of the answer is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.errors import UsageError
from nas.libraries import describe
from nas.modes import modes_kept
from nas.traceless import without_trace
from search_spaces.description import Role

Size: TypeAlias = tuple[int, int]
Place: TypeAlias = int | str | None

BATCH = 2
EVEN: Size = (64, 64)
ODD: Size = (129, 131)
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Divisors of the even size; padded to one of them, the odd height is divisible by no greater."""

PROBABILITIES = {"SoftmaxBackward": "softmax", "SigmoidBackward": "sigmoid"}
RESHAPING = ("View", "UnsafeView", "Alias", "Slice", "Select", "Squeeze", "Unsqueeze", "Clone")
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Answer:
    """What a network must answer.

    Attributes:
        name: of the network, as the user wrote it.
        role: which of the two networks it is.
        in_channels: channels of its input.
        outputs: classes of a segmenter; 1 for a discriminator.
    """

    name: str
    role: Role
    in_channels: int
    outputs: int

    def fits(self, output: object, size: Size) -> bool:
        """Whether an output for the batch of tiny images of a size has the right shape."""
        if not isinstance(output, Tensor):
            return False
        if self.role == "segmenter":
            return output.shape == (BATCH, self.outputs, *size)
        return output.shape[:2] == (BATCH, 1) and output.ndim in (2, 4) and output.numel() > 0

    def __str__(self) -> str:
        if self.role == "segmenter":
            return f"logits of shape {(BATCH, self.outputs, *EVEN)} for {self.outputs} classes"
        return f"logits of shape ({BATCH}, 1) or ({BATCH}, 1, h, w)"

    @property
    def trial(self) -> str:
        """The network and what it was tried on, for messages."""
        height, width = EVEN
        return (
            f"{self.name}, tried on {BATCH} images of {height}x{width} pixels and "
            f"{self.in_channels} channel(s),"
        )


class Adapted(nn.Module):
    """A network with its input padded and its answer picked out.

    Args:
        network: from float (N, C, H, W).
        multiple: heights and widths of its input are padded with zeros to multiples of this.
        place: index or key of the answer where the network gives several outputs.
        cropped: whether the answer has the size of the input, and is cropped to it.
    """

    def __init__(self, network: nn.Module, multiple: int, place: Place, cropped: bool) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.place = place
        self.cropped = cropped

    def forward(self, images: Tensor) -> Tensor:
        """The network's answer."""
        height, width = images.shape[-2:]
        if self.multiple > 1:
            padding = (0, -width % self.multiple, 0, -height % self.multiple)
            images = functional.pad(images, padding)
        answer = pick(self.network(images), self.place)
        return answer[..., :height, :width] if self.cropped else answer


def adapt(network: nn.Module, answer: Answer) -> nn.Module:
    """The network, wrapped only where it needs it.

    Its weights, buffers and modes, and the random state, are as before.

    Raises:
        UsageError: the network cannot give the answer.
    """
    refuse_lazy(network, answer)
    with without_trace([network]), modes_kept(network), torch.enable_grad():
        outputs = [attempt(network.train(training), answer) for training in (True, False)]
        place = find_place(outputs, answer)
        for output in outputs:
            check_logits(pick(output, place), answer)
        whole = pick(outputs[0], place).shape[2:] == EVEN
        multiple = find_multiple(network, answer, place, whole)
    if multiple == 1 and place is None:
        return network
    return Adapted(network, multiple, place, cropped=whole and multiple > 1)


def pick(output: Any, place: Place) -> Tensor:
    """The answer among outputs; an output alone is the answer."""
    answer: Tensor = output if isinstance(output, Tensor) else output[place]
    return answer


def attempt(network: nn.Module, answer: Answer) -> Any:
    """What a network makes of a batch of tiny images.

    Raises:
        UsageError: it fails.
    """
    try:
        return network(tiny_images(answer, EVEN))
    except Exception as error:
        raise UsageError(
            f"{answer.trial} fails ({describe(error)}), where {answer} were expected. Choose other "
            "options, or another network."
        ) from error


def tiny_images(answer: Answer, size: Size) -> Tensor:
    """A batch of noise, uniform in [0, 1]."""
    return torch.rand(BATCH, answer.in_channels, *size)


def find_place(outputs: Sequence[Any], answer: Answer) -> Place:
    """Where the answer stands in the outputs of a network; None where it stands alone.

    Args:
        outputs: of one network for tiny images, in training and in evaluation.
        answer: that was expected.

    Raises:
        UsageError: there is none, or more than one.
    """
    places: set[Place] = set()
    for output in outputs:
        if isinstance(output, Tensor):
            fitting: list[Place] = [None] if answer.fits(output, EVEN) else []
        else:
            fitting = [key for key, each in entries(output) if answer.fits(each, EVEN)]
        if len(fitting) != 1:
            several = "; an option may switch deep supervision off" if fitting else ""
            raise UsageError(
                f"{answer.trial} gives {shapes(output)}, where {answer} were expected, once"
                f"{several}."
            )
        places |= set(fitting)
    places -= {None}
    if len(places) > 1:
        raise UsageError(
            f"{answer.name} gives {answer} at different places of its output in training and in "
            f"evaluation ({', '.join(map(str, places))}): one place was expected."
        )
    return places.pop() if places else None


def entries(output: object) -> list[tuple[int | str, object]]:
    """Places and values of several outputs; none for what holds no outputs."""
    if isinstance(output, Mapping):
        return list(output.items())
    return list(enumerate(output)) if isinstance(output, list | tuple) else []


def shapes(output: object) -> str:
    """The shapes of one output or of several."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    parts = [shapes(each) for _, each in entries(output)]
    return f"[{', '.join(parts)}]" if parts else type(output).__name__


def check_logits(output: Tensor, answer: Answer) -> None:
    """Refuse what is no logits: probabilities, and what no weight can change.

    Raises:
        UsageError: with the activation that has to go.
    """
    if not output.requires_grad:
        raise UsageError(
            f"{answer.name} cannot be trained: no gradient leads from its output to a weight."
        )
    activation = last_activation(output)
    if activation is None and answer.role == "segmenter" and not output.is_meta:
        total = output.detach().sum(1)
        if torch.allclose(total, torch.ones_like(total), atol=TOLERANCE):
            activation = "softmax"
    if activation is not None:
        raise UsageError(
            f"{answer.name} gives probabilities ({activation} at its end), where logits were "
            "expected: the losses do that step themselves. Switch its last activation off."
        )


def last_activation(output: Tensor) -> str | None:
    """Softmax or sigmoid if it was the last thing that made the output, whatever its shape."""
    step = output.grad_fn
    while step is not None and step.name().partition("Backward")[0] in RESHAPING:
        step = step.next_functions[0][0]
    kind = "" if step is None else step.name().rstrip("0123456789")
    return PROBABILITIES.get(kind)


def find_multiple(network: nn.Module, answer: Answer, place: Place, whole: bool) -> int:
    """The smallest number such that the network takes an odd size padded to its multiples.

    Args:
        network: that takes the even size.
        answer: that is expected of it.
        place: of the answer in its output.
        whole: whether the answer has the size of the input.

    Raises:
        UsageError: the network takes no other size than the even one.
    """
    for multiple in MULTIPLES:
        height, width = (side + -side % multiple for side in ODD)
        if all(
            takes(network.train(training), (height, width), answer, place, whole)
            for training in (True, False)
        ):
            return multiple
    raise UsageError(
        f"{answer.name} is tied to a size: it takes {EVEN[0]}x{EVEN[1]} pixels, but fails on "
        f"{ODD[0]}x{ODD[1]} even when they are padded to multiples of up to {MULTIPLES[-1]}. "
        "Networks must take any size; choose another."
    )


def takes(network: nn.Module, size: Size, answer: Answer, place: Place, whole: bool) -> bool:
    """Whether a network gives the answer, of the input's size if ``whole``, for a size."""
    try:
        output = pick(network(tiny_images(answer, size)), place)
    except Exception:
        return False
    return answer.fits(output, size) and (not whole or output.shape[2:] == size)


def refuse_lazy(network: nn.Module, answer: Answer) -> None:
    """Refuse a network whose weights are made at its first use.

    Raises:
        UsageError: with what to do.
    """
    if any(nn.parameter.is_lazy(each) for each in (*network.parameters(), *network.buffers())):
        raise UsageError(
            f"{answer.name} has layers without weights (torch.nn.Lazy...): give them their number "
            "of channels, or pass an image through the network where it is made."
        )
