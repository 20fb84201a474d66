"""The settings of every command: names, defaults, meanings.

One structure per concern; a command's settings are a composition of them. The field's
docstring is its help on the command line, the nesting is the table it stands in when the
settings are written as TOML. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from search_spaces.cell_genotype import OPERATIONS
from search_spaces.description import Normalisation
from search_spaces.parametric_genotypes import Combination, Pattern

RelaxedNormalisation = Literal["batch", "instance", "group", "none"]
Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
TrackerName: TypeAlias = Literal["tensorboard", "wandb"]


class DataSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which images, at which size, split how."""

    dataset: str = "phantom"
    """Layout of the data: folder, phantom (built in, needs no files), or that of a known set;
    nas-list names them all."""

    data_root: Path | None = None
    """Folder that holds the data; not used by phantom."""

    image_size: str = "512"
    """Size the network sees, in pixels: 128, or HEIGHTxWIDTH such as 224x332."""

    image_channels: Literal[1, 3] | None = None
    """Read images as grey (1) or RGB (3); by default as they are stored."""

    white: Rate | None = None
    """Stored value that becomes 1.0; by default 255 for 8-bit and 65535 for 16-bit images."""

    value_map: str | None = None
    """What mask values mean, such as 0:0,255:1 (stored:class); by default they are the classes
    0, 1, 2, ..."""

    class_names: tuple[str, ...] = ()
    """Names of the classes in order, background first; by default numbered."""

    window: tuple[float, float] | None = None
    """Stored values that become 0 and 1, such as -160 240 for CT; for NIfTI and DICOM alone. By
    default of a NIfTI volume its percentiles 0.5 and 99.5, of a DICOM image its own window."""

    slices: Literal["axial", "coronal", "sagittal"] = "axial"
    """Plane in which volumes are cut into images."""

    empty_slices: Literal["keep", "drop"] = "keep"
    """drop: leave the slices of volumes out whose masks hold background only."""

    truth: Literal["silver", "gold"] = "silver"
    """Segmentations of the Cell Tracking Challenge: silver (01_ST), of every frame, or gold
    (01_GT), of some. Where gold leaves cells out, all around those that it has is unknown."""

    groups: Path | None = None
    """CSV with the columns file,group (patient, animal, sequence). Training, validation and test
    never share a group; the two halves of a search share one only where it is named in a note."""

    split: Path | None = None
    """A split saved by an earlier run (split.json) or by nas-data split, or splits_final.json of
    nnU-Net, with --fold."""

    fold: Count | None = None
    """Which of several folds in --split, the first is 0."""

    train_images: Positive | None = None
    """Training images; by default 50 for cxseg, jsrt and phantom (as published), else 60 %. Refused
    where a saved split or lists name the images."""

    val_images: Count | None = None
    """Validation images; by default 0 for cxseg, jsrt and phantom (as published), else 20 %.
    Refused where a saved split or lists name the images."""

    split_seed: Count = 0
    """Seed of the random split and of the two halves of a search, apart from the seed of the run;
    where a saved split or lists name the images, of the halves alone."""

    unlabelled: Path | None = None
    """Folder of further images, without masks; read like those of the data."""

    unlabelled_images: Count = 0
    """Put the masks of so many training images aside; the images are then used as unlabelled ones,
    or, for a comparison, not at all."""

    cache: Path | None = None
    """Folder in which decoded images are kept, for this and for later runs; they are then mapped
    into memory instead of held in it."""

    image_channel: Literal["all", "red", "green", "blue"] = "all"
    """Read all channels, or one of RGB images alone, as grey."""

    clahe_clip: Weight = 0.0
    """Clip limit of a contrast-limited adaptive histogram equalisation, a share in (0, 1] (0.01 is
    common); 0 equalises nothing."""

    clahe_tiles: Positive = 8
    """Tiles along each side of the image for the equalisation."""

    standardise: Literal["none", "set"] = "none"
    """set: the segmenter subtracts the mean and divides by the standard deviation of the training
    images, channel by channel; its checkpoint keeps both."""


class SpaceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the discriminator is searched in."""

    space: Literal["cell", "flexvgg", "none"] = "cell"
    """Search space of the discriminator: cell (as published by Dong), flexvgg, or none (no
    discriminator: with --backbone search:concatenation_fcn, the segmenter is searched alone)."""

    normalisation: Normalisation = "group"
    """Normalisation inside the discriminator; under group, the finite difference is close to the
    exact product, under batch and instance it agrees poorly (see the README)."""

    discriminator_input: Literal["map", "map+image"] = "map"
    """What the discriminator sees: the class map alone (as published), or with the image."""

    verdict: Literal["image", "pixel"] = "image"
    """What the discriminator of --space cell judges: the image as a whole (as published), or each
    pixel of it (as Lalwani's)."""


class CellSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cells of --space cell."""

    layout: Annotated[str, Meta(pattern="^[NR]+$")] = "NRNRNRN"
    """Cells in order: N normal, R reduction (halves the size, doubles the channels)."""

    channels: Positive = 16
    """Channels of the first cell; Dong leaves it open, 16 is DARTS' value."""

    stem_multiplier: Positive = 3
    """The head has this many times the channels of the first cell (DARTS: 3)."""

    nodes: Positive = 4
    """Intermediate nodes of a cell; with two inputs and the output, 4 makes Dong's B = 7."""

    operations: tuple[str, ...] = OPERATIONS
    """Candidate operations of an edge."""

    edges_per_node: Positive = 2
    """Incoming edges kept per node when the genotype is derived (k)."""

    recompute_cells: bool = False
    """Compute each cell again in the backward pass: less memory, the same gradients, more time."""

    partial_channels: Positive = 1
    """k: mixed operations see one of so many parts of the channels, the others pass by, and edges
    are weighed against each other (PC-DARTS: 4); 1 shows them all (as published)."""

    relaxation: Literal["softmax", "single-path"] = "softmax"
    """softmax: all operations of an edge count, weighted (as published); single-path: one of them,
    drawn for each pass, is computed (GDAS)."""

    temperature: tuple[Rate, Rate] = (10.0, 0.1)
    """Of the gradient of --relaxation single-path in the first and in the last epoch, linear in
    between (GDAS: 10 0.1)."""


class FlexVGGSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ranges of --space flexvgg; one value is no choice.

    By default the numbers of Nelson's Table 4 are searched and the others are those of the
    optimised FlexVGG.
    """

    flexvgg_input_depth: tuple[Positive, ...] = (1,)
    """Convolutions of the input block (D_I)."""

    flexvgg_channels: tuple[Positive, ...] = (64,)
    """Channels of the input block (C)."""

    flexvgg_blocks: tuple[Positive, ...] = (4, 5, 6)
    """Blocks of convolutions (N)."""

    flexvgg_depth: tuple[Positive, ...] = (2,)
    """Convolutions of a block (D_F)."""

    flexvgg_pattern: tuple[Pattern, ...] = ("double_run",)
    """single_run doubles the channels at each convolution, double_run at every second."""

    flexvgg_features: tuple[Positive, ...] = (128, 512, 1024)
    """Outputs of the first linear layer (F)."""

    flexvgg_linear_depth: tuple[Count, ...] = (1, 2, 4)
    """Linear layers behind the first, each half as wide as the one before."""

    flexvgg_max_channels: Positive = 1024
    """No convolution has more channels."""

    flexvgg_pooled: tuple[Positive, Positive] = (1, 1)
    """Height and width to which features are pooled before the first linear layer; 15 22 is the
    published network at 224x332 pixels."""


class ConcatenationFCNSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ranges of --backbone search:concatenation_fcn; one value is no choice.

    By default the ranges of Nelson's Tables 1 and 2 taken together.
    """

    fcn_input_depth: tuple[Positive, ...] = (1,)
    """Convolutions of the input block (D_I)."""

    fcn_channels: tuple[Positive, ...] = (8, 16, 32, 64)
    """Channels of the input block (C)."""

    fcn_blocks: tuple[Positive, ...] = (3, 4, 5, 6)
    """Blocks of convolutions (N)."""

    fcn_depth: tuple[Positive, ...] = (1, 2)
    """Convolutions of a block (D_F)."""

    fcn_pattern: tuple[Pattern, ...] = ("single_run", "double_run")
    """single_run doubles the channels at each convolution, double_run at every second."""

    fcn_taps: tuple[Positive, ...] = (3,)
    """How many of the last blocks are upsampled and combined (published: the last three)."""

    fcn_combination: tuple[Combination, ...] = ("concatenate",)
    """How the upsampled blocks are combined: concatenate (published), sum."""

    fcn_max_channels: Positive = 512
    """No convolution of a block has more channels."""

    fcn_normalisation: RelaxedNormalisation = "group"
    """Normalisation inside the segmenter; published: batch. See --normalisation."""


class TrainingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights of segmenter and discriminator are trained."""

    epochs: Positive = 50
    """Epochs."""

    batch_size: Positive = 2
    """Images per step."""

    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimiser of the weights."""

    sgd_momentum: Share = 0.9
    """Momentum of --optimizer sgd."""

    adam_beta1: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    """Decay of the first moment of --optimizer adam."""

    segmenter_lr: Rate = 1e-4
    """Learning rate of the segmenter (as published by Dong)."""

    discriminator_lr: Rate = 1e-4
    """Learning rate of the discriminator (as published by Dong)."""

    lr_schedule: Literal["constant", "table", "plateau", "decay", "cosine"] = "constant"
    """How the learning rates change: constant (as published by Dong), by --lr-table, by
    --lr-factor after --lr-patience epochs without gain in --monitor (plateau) or every --lr-every
    epochs (decay), or along a cosine down to --lr-min."""

    lr_table: tuple[str, ...] = ()
    """EPOCH:FACTOR ...: from that epoch on (the first is 1) the rates are so many times those at
    the start, such as 21:0.5 101:0.1."""

    lr_factor: Annotated[float, Meta(gt=0, lt=1)] = 0.8
    """Factor of plateau and decay."""

    lr_patience: Count = 10
    """Epochs without gain before plateau lowers the rates."""

    lr_every: Positive = 20
    """Epochs between two steps of decay."""

    lr_min: Weight = 0.0
    """Rate below which plateau and cosine do not go."""

    monitor: Literal["mean_iou", "foreground_iou", "val_loss"] = "mean_iou"
    """Number of the validation images (in a search, of the architecture half) that plateau and
    early stopping watch: mean IoU, the same without the background, or the segmentation loss."""

    early_stopping: Count = 0
    """Stop after so many epochs without gain in --monitor; 0 never does."""

    weight_decay: Weight = 0.0
    """L2 penalty on the weights."""

    clip_norm: Weight = 5.0
    """Largest norm of a network's gradient (DARTS: 5); 0 clips nothing."""

    adversarial_weight: Weight = 0.01
    """Weight of the adversarial term in the segmenter's loss (lambda_adv, as published by Dong)."""


class LossSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the segmenter minimises on labelled images, and what it is pretrained on."""

    loss: Literal["cross_entropy", "dice", "cross_entropy+dice"] = "cross_entropy"
    """Segmentation loss."""

    class_weights: Literal["none", "frequency"] = "none"
    """frequency: a pixel counts as one over the pixels of its class in the image, the rarest class
    as 1 (Livne)."""

    border_weight: Weight = 0.0
    """Additional weight of a pixel in a gap of no width between two objects (w0; Livne: about
    10)."""

    border_sigma: Rate = 5.0
    """Width of a gap, in pixels, that still counts as narrow."""

    triplet_weight: Weight = 0.0
    """Weight of the triplet loss beside the segmentation loss (lambda_2 of Nelson)."""

    triplets: Positive = 50
    """Triplets of an image."""

    triplet_margin: Rate = 0.2
    """Margin of the triplet loss."""

    triplet_positives: Literal["random", "boundary"] = "random"
    """The positive of a triplet: any other pixel of the foreground (as published), or one of its
    boundary."""

    pretrain_epochs: Count = 0
    """Epochs, before --epochs, of the segmenter alone on --pretrain-loss; optimisers and schedules
    begin anew behind them."""

    pretrain_loss: Literal["triplet", "cross_entropy", "dice"] = "triplet"
    """Loss of the pretraining."""


class GameSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What segmenter and discriminator play, and how strongly."""

    game: Literal["truth-prediction", "annotated-unannotated", "nelson-as-coded"] = (
        "truth-prediction"
    )
    """What the discriminator tells apart: true masks from predictions (Dong, Lalwani); predictions
    for annotated images from those for unannotated ones (DAN, Nelson Eq. 2); or the first as in
    Nelson's code, with its three mistakes, for comparison."""

    adversarial_loss: Literal["non-saturating", "hinge", "least-squares"] = "non-saturating"
    """Loss on the discriminator's verdicts."""

    cue: Literal["probabilities", "straight-through", "smoothed", "noised"] = "probabilities"
    """What the discriminator sees: probabilities against a one-hot truth (as published); the
    hardened prediction, with the gradient of the soft one, which alone leaves no sign of softness;
    or a truth that is smoothed, or noised, by --cue-strength."""

    cue_strength: Share = 0.1
    """Share of a smoothed truth that is spread over all classes; largest share of noise in a
    noised truth."""

    passes: Literal["separate", "joint"] = "separate"
    """separate: real and fake maps go through the discriminator one after the other (as published);
    joint: in one batch, which is faster, and another method under --normalisation batch."""

    adversarial_start: Positive = 1
    """Epoch, the first is 1, in which the adversarial training begins."""

    adversarial_ramp: Count = 0
    """Epochs in which the adversarial weight grows by 1: lambda = --adversarial-weight + epoch /
    this (Nelson Eq. 4); 0 leaves it constant."""

    discriminator_steps: Positive = 1
    """Steps of the discriminator for each one of the segmenter, on the same images."""

    unlabelled_weight: Weight = 0.0
    """Weight of the adversarial term on unlabelled images (lambda_2 of Lalwani), in
    truth-prediction; in annotated-unannotated the adversarial weight itself counts there."""

    unlabelled_start: Positive = 1
    """Epoch in which unlabelled images come in."""

    unlabelled_order: Literal["mixed", "stages"] = "mixed"
    """mixed: labelled and unlabelled images in each step; stages: from --unlabelled-start on
    unlabelled images alone, the discriminator frozen (Lalwani)."""


Deformation = Literal["flips", "rotation", "quarters", "elastic"]


class AugmentationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How training images and masks are changed, anew in every epoch."""

    flips: tuple[Literal["horizontal", "vertical"], ...] = ()
    """Flips, each in half of the images."""

    rotation: Annotated[float, Meta(ge=0, le=180)] = 0.0
    """Largest rotation, in degrees, to either side; what comes in from outside is mirrored."""

    quarters: Share = 0.0
    """Share of the images that become one of their quarters, mirrored to full size (Livne)."""

    elastic: Share = 0.0
    """Share of the images that are deformed elastically (Simard, Livne)."""

    elastic_alpha: tuple[Weight, Weight] = (0.0, 50.0)
    """Least and largest strength of the deformation, in pixels (Livne: 0 50)."""

    elastic_sigma: Rate = 4.0
    """Smoothness of the deformation: sigma of the Gaussian, in pixels."""

    curriculum: tuple[Deformation, ...] = ()
    """Augmentations that begin only when the validation images (in a search, the architecture half)
    pass --curriculum-iou (Livne: elastic)."""

    curriculum_iou: Share = 0.7
    """Mean IoU without the background at which the curriculum goes on (Livne: 0.7)."""


class PatchSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training of a network of 64x64 patches, --backbone patches:dc_net (Ayush); the distance at
    which they slide over an image is its option, patches:dc_net?stride=4."""

    patches: Positive = 15000
    """Patches in the training set, as many of each class."""

    patch_dilation: Count = 3
    """Background patches are centred further than this from the foreground, in pixels."""

    generator: Literal["none", "deconvolution"] = "deconvolution"
    """Where the patches of the class "fake" come from: a generator that is trained against the
    network, or nowhere (the simple CNN of the comparison)."""

    noise: Positive = 300
    """Numbers that the generator starts from."""

    realness_weight: Weight = 0.0
    """Weight of -log(1 - p(fake)) on annotated patches (Salimans et al. 2016: 1). The published
    losses have no such term, and let the network take every patch for fake."""


class ArchitectureSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the architecture parameters alpha are optimised."""

    architecture_lr: Rate = 3e-4
    """Learning rate of alpha, by Adam with betas 0.5 and 0.999 (DARTS)."""

    architecture_decay: Weight = 1e-3
    """L2 penalty on alpha (DARTS)."""

    objective: Literal["discriminator", "segmenter"] = "discriminator"
    """What the discriminator's alpha minimises on the architecture half: its own loss (Eq. 8), or
    the segmentation loss of the segmenter after its unrolled step through the discriminator. A
    searched segmenter's alpha minimises the segmentation loss."""

    schedule: Literal["joint", "decoupled"] = "joint"
    """With two networks to search: joint moves both alphas in turn; decoupled searches the
    segmenter alone, then the discriminator against the derived segmenter with fresh weights, each
    for --epochs."""

    order: Literal["second", "first"] = "second"
    """second: alpha's gradient goes through one unrolled step of the weights; first: it does
    not."""

    product: Literal["finite-difference", "exact"] = "finite-difference"
    """How second-order terms are computed: by finite differences (as published) or exactly."""

    product_for: Literal["both", "discriminator", "segmenter", "none"] = "both"
    """Which network's second-order term is kept."""

    radius: Rate = 1e-2
    """Distance that the finite difference moves the weights; its step is radius / ||v||. With
    --product exact it serves the diagnosis alone."""

    unrolled_rate: Rate | None = None
    """Rate of the unrolled step (eta); by default each network's learning rate."""

    warmup_epochs: Count = 0
    """Epochs in which the weights train before alpha moves."""

    stable_epochs: Count = 0
    """Stop once the derived genotypes have not changed for this many epochs; 0 never stops. In a
    decoupled search this counts in the discriminator's part."""

    diagnose_every: Count = 200
    """Compare both products, and log the share of the second-order term, every so many steps, which
    takes as long as a step; 0 never does."""

    validate_every: Positive = 4
    """Score the segmenter on the architecture half after the first epoch, the last and every so
    many epochs. One score takes up to a twelfth of an epoch's time. With --lr-schedule plateau or
    --curriculum, which look at the scores, they come after every epoch."""

    examine_every: Count = 200
    """Examine the discriminator after the first epoch, the last and every so many steps, which
    takes as long as two thirds of a step; 0 leaves it at the first and the last."""


class BudgetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a search may take."""

    budget: tuple[str, ...] = ()
    """Time for the run (90min, 2h), peak memory (8GB, 800MB; on a GPU that of torch's allocator, on
    a CPU that of the process), or one of each. This machine is probed before the search starts,
    and the first settings that fit are picked: yours, or cheaper ones for what you left open."""


class AdversarySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The discriminator to train against."""

    discriminator: str | None = None
    """none, a name such as resnet10 (nas-list prints all), with options behind a question mark
    (resnet10?width=32), monai: or python: and a network of that library, or the file of a
    genotype."""

    genotype: Path | None = None
    """The file of a genotype; the same as --discriminator FILE."""

    discriminator_input: Literal["map", "map+image"] | None = None
    """What the discriminator sees; by default what the genotype says, and map otherwise."""


class RunSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the run lives and what it runs on."""

    run_dir: Path | None = None
    """Folder of the run; by default a new one under runs/."""

    resume: bool = False
    """Go on with the run in --run-dir from its last checkpoint; its own settings are used."""

    config: Path | None = None
    """TOML file with settings; options on the command line override it."""

    variant: tuple[str, ...] = ()
    """Tables [variants.NAME] of --config to lay over its settings, in this order."""

    seed: Count = 0
    """Seed of the initial weights, the order of the images and all noise."""

    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda, cuda:1, ..."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 runs the networks under autocast. On CUDA, fp32 convolutions round their factors to
    TF32, as is torch's default, and matrix products do not; second-order products are computed in
    fp32 without TF32 under either."""

    capture: bool = False
    """Replay the updates of a step in place of tens of thousands of small calls: as CUDA graphs,
    captured after three updates, and on a CPU as recordings, made after ten. The same mathematics.
    For one process, and on a GPU for networks and losses without random numbers. On a CPU it pays
    for searches of cells: making a recording takes as long as some ten steps, and each new
    --adversarial-ramp pressure or size of batch needs its own."""

    threads: Count = 0
    """CPU threads to use; 0 leaves it to torch. With small networks, or on a busy machine, 1 is
    often several times faster."""

    streams: Positive = 1
    """How many operations replays of --capture do at a time on a CPU. They share --threads:
    --threads 2 --streams 2 keeps two cores busy, and replays compute the same bits as with
    --threads 1."""

    kernels: Literal["auto", "torch", "compiled"] = "auto"
    """What computes the relaxed cell of a search on a CPU: kernels that numba compiles (extra
    fast), plain torch, or auto: kernels where numba is installed and there are some. compiled is
    refused where there are none: on a GPU, with --precision bf16, and where the channels that an
    operation sees are no multiple of 16. The same mathematics."""

    batch_statistics: Literal["rank", "synchronised"] = "rank"
    """Of several processes (torchrun): what batch norm takes mean and variance of, the images of
    each process alone, which deviates from one process, or those of all."""

    checkpoint_minutes: Weight = 10.0
    """Save at least this often. Besides, a run is saved when it is stopped, at its end, and at the
    end of each epoch unless saves take more than 1 % of its time."""

    tracker: TrackerName = "tensorboard"
    """wandb tells Weights & Biases too; with WANDB_MODE=offline it stays in the run's folder."""


class SearchSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Search the discriminator, the segmentation network, or both, that suit a data set."""

    backbone: str = "unet"
    """The segmentation network: a name (nas-list prints all), with options behind a question mark
    (unet?width=16), smp:, monai: or python: and a network of that library, the file of a genotype,
    or search:concatenation_fcn to search the segmenter too."""

    data: DataSettings = DataSettings()
    space: SpaceSettings = SpaceSettings()
    cell: CellSettings = CellSettings()
    flexvgg: FlexVGGSettings = FlexVGGSettings()
    concatenation_fcn: ConcatenationFCNSettings = ConcatenationFCNSettings()
    training: TrainingSettings = TrainingSettings()
    loss: LossSettings = LossSettings()
    game: GameSettings = GameSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    architecture: ArchitectureSettings = ArchitectureSettings()
    budget: BudgetSettings = BudgetSettings()
    run: RunSettings = RunSettings()


class RetrainSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train a segmentation network against a derived, a named or no discriminator."""

    backbone: str = "unet"
    """The segmentation network: a name (nas-list prints all), with options behind a question mark
    (unet?width=16), smp:, monai: or python: and a network of that library, or the file of a
    genotype."""

    adversary: AdversarySettings = AdversarySettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    loss: LossSettings = LossSettings()
    game: GameSettings = GameSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    patches: PatchSettings = PatchSettings()
    run: RunSettings = RunSettings()
