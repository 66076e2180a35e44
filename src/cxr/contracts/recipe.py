"""The recipe: every choice that makes a model, in one typed, frozen value. Defaults live here and nowhere else."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cxr.contracts.files import Contract
from cxr.contracts.search import SearchSpace

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]
Count = Annotated[int, Meta(ge=1)]
Compiler = Literal["none", "inductor"]


class ModelRecipe(Contract, frozen=True, kw_only=True):
    """The network.

    Attributes:
        architecture: a name of `cxr.modeling.network.ARCHITECTURES`.
        weights: "imagenet" starts from ImageNet weights when they can be had: those of `efficientnet_lite0` are
            installed with the pipeline, torchvision's are downloaded. "none" starts from random ones.
        dropout: probability before the linear head.
        output_stride: pixels of input per cell of the last feature map; 16 doubles the resolution of activation maps.
        lung_frame: side in pixels of a square around the lungs that the network finds and cuts out for itself; 0 shows
            it the whole film. What lies around the lungs tells one hospital from another.
    """

    architecture: str = "densenet121"
    weights: Literal["imagenet", "none"] = "imagenet"
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.2
    output_stride: Literal[16, 32] = 32
    lung_frame: Annotated[int, Meta(ge=0, le=1024)] = 0


class Preprocessing(Contract, frozen=True, kw_only=True):
    """From any decoded film to the network's input; stored in the bundle and applied unchanged by the service.

    Attributes:
        size: side of the square network input, pixels.
        stored_side: short side to which ingestion reduces a larger film, pixels.
        clip_percentiles: grey values below and above these percentiles are clipped before scaling to 0..255.
        mean, std: of the input after scaling to 0..1.
    """

    size: Annotated[int, Meta(ge=32, le=1024)] = 224
    stored_side: Annotated[int, Meta(ge=64, le=2048)] = 512
    clip_percentiles: tuple[Annotated[float, Meta(ge=0, lt=50)], Annotated[float, Meta(gt=50, le=100)]] = (0.5, 99.5)
    mean: Fraction = 0.5
    std: Positive = 0.25


class Augmentation(Contract, frozen=True, kw_only=True):
    """Random changes of training films, drawn per film on the device. Amplitudes are the largest that occur.

    Attributes:
        rotation: degrees either way.
        translation: share of the side either way.
        scale: relative change of size either way.
        brightness: shift of grey values in 0..1 either way.
        contrast: relative change either way.
        gamma: relative change of the exponent either way.
        noise: standard deviation of Gaussian noise in 0..1.
        blur: standard deviation of the Gaussian, pixels at 224.
        flip: probability of a left-right flip; off by default since a chest has a side (situs, heart).
        erase: probability that one rectangle of up to a quarter of the film is greyed out.
    """

    rotation: NonNegative = 10.0
    translation: Fraction = 0.06
    scale: Fraction = 0.10
    brightness: Fraction = 0.10
    contrast: Fraction = 0.20
    gamma: Fraction = 0.20
    noise: Fraction = 0.03
    blur: NonNegative = 1.0
    flip: Fraction = 0.0
    erase: Fraction = 0.1


class Sampling(Contract, frozen=True, kw_only=True):
    """Which films a training step draws.

    Attributes:
        balance: "films" shows every film once in an epoch. "sources" draws at random, every finding as often as another
            and of a finding every source as often as another, so that no source stands for a finding by its number; the
            weights of `loss.class_balance` are then not applied again.
        phantoms: so many drawn films are learnt beside the real ones, as one more source that has every finding and
            whose scanners say nothing about them; an epoch stays as long as it was. None are where a source of the
            training films is of phantoms itself (`--data phantom`): they would be its test patients.
    """

    balance: Literal["films", "sources"] = "films"
    phantoms: Annotated[int, Meta(ge=0, le=100_000)] = 0


class LossRecipe(Contract, frozen=True, kw_only=True):
    """Focal loss (Lin et al. 2017, eq. 5) or cross-entropy.

    Attributes:
        alpha: overall weight of the focal term.
        gamma: focusing exponent; 0 is weighted cross-entropy.
        class_balance: weigh classes by inverse frequency, normalised to mean 1.
        label_smoothing: share of the target spread over all classes.
    """

    kind: Literal["focal", "cross_entropy"] = "focal"
    alpha: Positive = 0.25
    gamma: NonNegative = 2.0
    class_balance: bool = True
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0


class Optimiser(Contract, frozen=True, kw_only=True):
    """AdamW (Loshchilov & Hutter 2019)."""

    learning_rate: Positive = 3e-4
    weight_decay: NonNegative = 1e-2
    clip_norm: Positive = 1.0


class Schedule(Contract, frozen=True, kw_only=True):
    """Length and pace of training.

    Attributes:
        batch_size: films per step over all processes.
        warmup_epochs: the learning rate climbs linearly, then falls as a cosine to zero.
        patience: epochs without a better validation macro AUROC before training stops.
        ema_decay: of the exponential moving average of the weights per step; 0 turns it off.
        compiler: of the network's passes in training. "inductor" fuses their kernels and on a GPU launches them as one
            graph; it needs a C++ compiler and Python's headers, on a GPU Triton too, which the pipeline's image leaves
            out. What is learnt differs by rounding and by the random numbers of dropout and of the frame's jitter.
        refit_head: when training is over, the linear head is fitted again, as a strongly penalised logistic regression
            on the features of the training films as they are (Kirichenko et al. 2023). What training let the head
            make of features that go with a source counts for less then. Trials that are judged epoch by epoch leave it
            out.
    """

    epochs: Count = 20
    batch_size: Count = 32
    warmup_epochs: NonNegative = 1.0
    patience: Count = 6
    ema_decay: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.99
    compiler: Compiler = "none"
    refit_head: bool = False


class SplitRecipe(Contract, frozen=True, kw_only=True):
    """How films are divided.

    Attributes:
        train, validation: shares of the films; what is left is the test part.
        linked_sources: sources that may share patients whom no identifier shows. Leave-one-source-out withholds them
            together; the split by patient cannot guard against it beyond near-duplicates, and its report says so.
    """

    train: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.8
    validation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    linked_sources: tuple[tuple[str, ...], ...] = ()


class EvaluationRecipe(Contract, frozen=True, kw_only=True):
    """How figures are made.

    Attributes:
        resamples: patients are drawn this often for each 95% confidence interval.
        triage_sensitivity, triage_specificity: WHO's minimum for a TB triage test (target product profile 2014).
        rule_in_specificity: of the operating point that confirms a finding.
        referral_error: share of wrong decisions to tolerate among the films that are not referred to a radiologist.
        referral_confidence: with which the share on validation must be at most that, were other patients drawn.
        conformal_error: share of patients, of each finding, whose prediction set may lack it.
        unseen_share: of the likelihood that the temperature is fitted to, what validation films have as read by heads
            that know no film of their source, so that probabilities promise less where the network meets a new
            hospital; more than 0 needs schedule.refit_head.
        subgroup_gap: a subgroup that does worse than the other films by more is flagged.
        subgroup_patients: fewer than this in a subgroup or in the other films, and their gap is not judged.
        severities: of each corruption, 1 (mild) to 5 (severe), beside those of the clinical preset, which are always
            measured. The mean over the severe preset needs 3, 4 and 5.
    """

    resamples: Annotated[int, Meta(ge=100)] = 2000
    triage_sensitivity: Fraction = 0.90
    triage_specificity: Fraction = 0.70
    rule_in_specificity: Fraction = 0.95
    referral_error: Fraction = 0.05
    referral_confidence: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.9
    conformal_error: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    unseen_share: Fraction = 0.0
    subgroup_gap: Fraction = 0.1
    subgroup_patients: Count = 20
    severities: tuple[Annotated[int, Meta(ge=1, le=5)], ...] = (1, 2, 3, 4, 5)


class AuditRecipe(Contract, frozen=True, kw_only=True):
    """The shortcut audit: a figure whose whole interval is over its limit warns.

    Where marked *, it fails, and warns when only its value is over the limit.

    Limits are set on phantoms: between cohorts whose scanners are tied to the finding and cohorts whose are not.

    Attributes:
        hidden_auroc: * macro AUROC of the model on films whose lungs are blacked out. Some disease shows outside of
            the atlas, so that it may be over 0.5.
        border_auroc: * of the model on the border of the films.
        pull_auroc: * AUROC of a finding's probability for the sources that are rich in it, among films without it.
        pixel_auroc: macro AUROC of a few pixels outside of the lungs.
        source_auroc: macro AUROC of guessing the finding from the source.
        flips: share of decisions that change when a marker, shutters or a box are pasted on.
        least_patients: on each side of a comparison between sources, and per source of a probe.
        probe_films: train films that the pixel probes are fitted on, at most.
    """

    hidden_auroc: Fraction = 0.6
    border_auroc: Fraction = 0.6
    pull_auroc: Fraction = 0.65
    pixel_auroc: Fraction = 0.7
    source_auroc: Fraction = 0.7
    flips: Fraction = 0.3
    least_patients: Count = 8
    probe_films: Count = 3000


class Gate(Contract, frozen=True, kw_only=True):
    """What a model must reach on the test split before it may become champion.

    Attributes:
        macro_auroc, accuracy, tuberculosis_sensitivity: lowest point estimates.
        clinical_drop: largest loss of accuracy under the `clinical` corruption preset.
        calibration_error: largest expected calibration error.
        coverage_chance: prediction sets must not cover so few patients that sets which keep their promise would do so
            with less than this probability, over all findings.
        subgroup_gap: by how much a subgroup may surely do worse than the other films: largest lower end of the interval
            of a gap, in any measure. Wider than `evaluation.subgroup_gap`, which only flags.
        refer_rate: largest share of films referred for low confidence.
        shortcuts: worst verdict of the shortcut audit; "fail" lets every model pass, also one that was not audited.
        incomparable_champion: the present champion was measured on other test films and cannot be measured on these, as
            when it tells other findings apart: "keep" it, or "replace" it when the floors above hold.
    """

    macro_auroc: Fraction = 0.90
    accuracy: Fraction = 0.75
    tuberculosis_sensitivity: Fraction = 0.70
    clinical_drop: Fraction = 0.05
    calibration_error: Fraction = 0.15
    coverage_chance: Fraction = 0.01
    subgroup_gap: Fraction = 0.25
    refer_rate: Fraction = 0.6
    shortcuts: Literal["pass", "warn", "fail"] = "warn"
    incomparable_champion: Literal["keep", "replace"] = "keep"


class Recipe(Contract, frozen=True, kw_only=True):
    """Everything that makes a model, from its data's split to the floors that it must reach."""

    version: Literal[1] = 1
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 42
    model: ModelRecipe = msgspec.field(default_factory=ModelRecipe)
    preprocessing: Preprocessing = msgspec.field(default_factory=Preprocessing)
    augmentation: Augmentation = msgspec.field(default_factory=Augmentation)
    sampling: Sampling = msgspec.field(default_factory=Sampling)
    loss: LossRecipe = msgspec.field(default_factory=LossRecipe)
    optimiser: Optimiser = msgspec.field(default_factory=Optimiser)
    schedule: Schedule = msgspec.field(default_factory=Schedule)
    split: SplitRecipe = msgspec.field(default_factory=SplitRecipe)
    search: SearchSpace = msgspec.field(default_factory=SearchSpace)
    evaluation: EvaluationRecipe = msgspec.field(default_factory=EvaluationRecipe)
    audit: AuditRecipe = msgspec.field(default_factory=AuditRecipe)
    gate: Gate = msgspec.field(default_factory=Gate)


def for_trials(recipe: Recipe) -> Recipe:
    """The recipe that a trial of the search trains: as many epochs as the search says.

    The head is fitted again, and read without a source, only where the network at the end is what is judged.
    """
    refit = recipe.schedule.refit_head and recipe.search.objective == "worst_source_auroc"
    schedule = msgspec.structs.replace(recipe.schedule, epochs=recipe.search.epochs, refit_head=refit)
    share = recipe.evaluation.unseen_share if refit else 0.0
    evaluation = msgspec.structs.replace(recipe.evaluation, unseen_share=share)
    return msgspec.structs.replace(recipe, schedule=schedule, evaluation=evaluation)


def least_side(*, size: int, lung_frame: int) -> int:
    """Short side that a film must have, pixels: that of what the backbone sees, the film or the frame around its lungs.

    The frame takes most of a film, so that a film of its size is enlarged by little.
    """
    return lung_frame or size
