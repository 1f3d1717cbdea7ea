"""What training, compressing, exporting and proving give."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from pocketvision.values.costs import Latency, Precision, PredictedLatency
from pocketvision.values.images import Box, FoundBox, Split
from pocketvision.values.nets import ImageSpec, ModelSpec
from pocketvision.values.records import UNSAID
from pocketvision.values.scores import AttributeScore, Confidence, Curve, Refusal, Score

Io = Literal["mixed", "uint8", "int8"]
"""Types of a LiteRT or C file's input and output: uint8 pixels and float32 probabilities, or integers for both."""
BoxEnds = Literal["boxes", "raw"]
"""What a detector's file gives: the boxes that are kept, or what is said of every anchor, for the app to suppress."""


@dataclass(frozen=True)
class Probe:
    """A small image inside the file with the answer expected for it."""

    png_base64: str
    """The image, a PNG in base64."""
    probabilities: tuple[float, ...]
    """The answer expected, in the order of the labels; of a detector the numbers of its best boxes, 20 at most, best
    first: y1, x1, y2, x2, class, score."""


@dataclass(frozen=True)
class Suppression:
    """Which boxes of a detector are kept."""

    score: float
    """Least score of a box."""
    overlap: float
    """Largest overlap with a better box of the same class, as intersection over union."""
    most: int
    """Boxes that are kept."""


@dataclass(frozen=True)
class Manifest:
    """What a file needs to be used and judged; travels inside it and beside it."""

    format_version: int
    """Version of this record."""
    name: str
    """Name of the run or of the file that it was made from."""
    task: str
    """What the net was trained for."""
    labels: tuple[str, ...]
    """Class names, in the order of the outputs."""
    image: ImageSpec
    """How an image is prepared for the file."""
    model: ModelSpec
    """The net."""
    precision: Precision
    """Of the file."""
    data_digest: str
    """SHA-256 that names the training images with their labels."""
    splits: dict[str, float | int]
    """`seed`, `val`, `test`: the split's rule, so that the test images can be found again."""
    figures: dict[str, Score]
    """Measured on the trained net before export: `validation`, `test`."""
    probes: tuple[Probe, ...]
    """Images with expected answers, to check the file by."""
    versions: dict[str, str]
    """Of the packages that wrote the file."""
    created: str
    """UTC, ISO 8601; empty inside a file, where it would make other bytes of the same net."""
    abstain_below: float | None = None
    """Top probability below which the answer is "not sure"; None never refuses."""
    refusal: Refusal | None = None
    """What that did on the validation images."""
    thresholds: tuple[float, ...] = field(default=(), metadata=UNSAID)
    """Per label the probability from which on it counts as there; empty where exactly one label is true."""
    io: Io = "mixed"
    """Types of the file's input and output. `uint8`: pixels in, probabilities out in steps of 1/256. `int8`: the same
    numbers less 128."""
    ends: BoxEnds = field(default="boxes", metadata=UNSAID)
    """What a detector's file gives. `boxes`: those that are kept. `raw`: what is said of every anchor."""
    suppression: Suppression | None = field(default=None, metadata=UNSAID)
    """Which boxes are kept; None for other tasks."""

    def __post_init__(self) -> None:
        """Refuse types, thresholds and shares that are none, as in a file that was tampered with; raises ValueError."""
        for name, kinds in (("io", Io), ("ends", BoxEnds)):
            if (said := getattr(self, name)) not in get_args(kinds):
                raise ValueError(f"{name} is {said!r}; known are {', '.join(get_args(kinds))}")
        shares = {"abstain_below": self.abstain_below}
        shares |= {f"thresholds[{place}]": share for place, share in enumerate(self.thresholds)}
        if self.refusal is not None:
            shares |= {"refusal.coverage": self.refusal.coverage.value}
            shares |= {"refusal.right": self.refusal.right.value if self.refusal.right else None}
        for name, share in shares.items():
            if share is not None and not (type(share) in (int, float) and 0 <= share <= 1):
                raise ValueError(f"{name} is {share!r}, not a share between 0 and 1")


@dataclass(frozen=True)
class Verdict:
    """One line of the budget, judged on the delivered file."""

    limit: str
    """The option's name, such as `max_size`."""
    allowed: float
    """The limit."""
    measured: float
    """What the file has; -1 where nothing could be measured, and then it is not passed."""
    unit: str
    """`bytes`, `ms`, `MACs`, `params` or `share`."""
    passed: bool
    """Whether the limit is kept."""
    predicted: PredictedLatency | None = field(default=None, metadata=UNSAID)
    """What `measured` is where the budget names a profile: predicted for that device, and not measured."""
    compressor: str | None = field(default=None, metadata=UNSAID)
    """What a download was packed with, where the budget names it; else deflate."""


@dataclass(frozen=True)
class Answer:
    """The file's answer to one test image."""

    file: str
    """Path of the image."""
    label: str
    """The true label."""
    predicted: str
    """The label answered."""
    probability: float
    """Of the label answered."""
    wrong: tuple[str, ...] | None = field(default=None, metadata=UNSAID)
    """The attributes that were decided wrongly; None where there is one label, which is right or not."""
    found: tuple[FoundBox, ...] = field(default=(), metadata=UNSAID)
    """Of a detector the boxes that count, from the file's threshold on, corners as shares of the upright image."""
    truth: tuple[Box, ...] = field(default=(), metadata=UNSAID)
    """Of a detector the true boxes, corners as shares of the upright image."""

    @property
    def right(self) -> bool:
        """Whether everything known of the image was answered rightly."""
        return self.label == self.predicted if self.wrong is None else not self.wrong


@dataclass(frozen=True)
class Agreement:
    """The delivered file against the trained net on the same images."""

    same_answer: float
    """Share of images with the same top label, 0..1."""
    largest_gap: float
    """Largest difference of any probability."""
    count: int
    """Number of images."""


@dataclass(frozen=True)
class Resized:
    """The delivered file's accuracy where other code than ours resizes the images."""

    resizer: str
    """One of `images.resizers.NAMES`."""
    accuracy: Score
    """With that resizing."""
    same_answer: float
    """Share of images answered as with our resizing, 0..1."""


@dataclass(frozen=True)
class Judged:
    """Which of the images given a file was judged on; they are told apart by content, never by name."""

    data: str
    """Name of the folder or table given."""
    given: int
    """Image files given, those that cannot be read included."""
    judged: int
    """How many of them count."""
    split: Split | None
    """The split of the run that was asked for; None: whatever the net was neither trained nor chosen on."""
    known: bool
    """Whether it could be told which images the run had; where not, all count as new."""
    of_run: int
    """Of those judged, images of the run's own `split`, `test` for None."""
    new: int
    """Of those judged, images that the run did not have."""
    relabeled: int
    """Of those judged, images that the run had under another label; they are judged by the label given."""
    trained_on: int
    """Of those given, images of the run's training split."""
    chosen_on: int
    """Of those given, images of the run's validation split."""
    repeated: int
    """Files left out: copies of another one given, and images given under two labels."""
    unreadable: int
    """Files left out that would have been judged."""


@dataclass(frozen=True)
class Proof:
    """What `verify` measured on the delivered file."""

    file: str
    """Path of the file."""
    sha256: str
    """Of the file."""
    size_bytes: int
    """Of the file."""
    accuracy: Score
    """On the images judged."""
    agreement: Agreement | None
    """With the trained net; None where its outputs are not beside the file."""
    probe_gap: float
    """Largest difference of a probability from those stored in the file's probes."""
    latency: Latency
    """Time of one image."""
    verdicts: tuple[Verdict, ...]
    """One for each limit that was set."""
    labels: tuple[str, ...]
    """Class names, in the order of the outputs."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true labels, columns answers."""
    answers: tuple[Answer, ...]
    """One for each image judged."""
    failures: tuple[str, ...] = ()
    """Sentences; empty when the file answers as the trained net does."""
    unreadable: tuple[str, ...] = ()
    """Images that could not be read."""
    confidence: Confidence | None = None
    """How far the file's probabilities can be trusted on these images."""
    abstain_below: float | None = None
    """Top probability below which the file refuses to answer; None never."""
    refusal: Refusal | None = None
    """What that does on these images."""
    resized: tuple[Resized, ...] = ()
    """On up to 300 of the test images, the same for each; the first is our own resizing."""
    judged: Judged | None = None
    """Which images all this was measured on; None in older proofs."""
    attributes: tuple[AttributeScore, ...] = field(default=(), metadata=UNSAID)
    """How each attribute, or each class of boxes, fared; empty for other tasks."""
    curves: tuple[Curve, ...] = field(default=(), metadata=UNSAID)
    """Precision against recall of each class of boxes; empty for other tasks."""


@dataclass(frozen=True)
class Epoch:
    """One line of results.csv."""

    epoch: int
    """Counted through all phases, from 1."""
    phase: Literal["head", "upper", "all"]
    """What learned: the classifier, the layers that take the maps, or all of the net."""
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    """Cross-entropy at the best temperature."""
    val_accuracy: float
    images_per_s: float
    seconds: float
    val_macro: float = 0.0
    """Validation accuracy as the mean over the classes."""
    resolution: int = 0
    """Side of the training images in pixels; 0 where features or maps were learned from."""
    kept: bool = False
    """Whether its weights took the place of those kept before; the last such epoch's are the result."""


@dataclass(frozen=True)
class Schedule:
    """What the epochs of a training do, settled before the first."""

    head_epochs: int
    """Epochs of the head alone."""
    resolutions: tuple[int, ...]
    """Side of the training images in each epoch of the whole net."""
    frozen: tuple[int, ...]
    """How many layers, from the first on, keep their weights in each epoch."""
    seconds: tuple[float, ...] = ()
    """The forecast of each epoch's time on this machine; empty without a time limit."""
    head_images: int | None = None
    """Images that the head alone learns from, where the time is too short for all and their mirror images."""
    views: int | None = None
    """Views of each image that a teacher answers to, where the time settles it."""
    head_s: float = 0.0
    """The forecast of the head's own time; 0 without a time limit."""
    teacher_s: float = 0.0
    """The forecast of the teachers' time for all views; 0 without a time limit."""
    map_layers: int = 0
    """Layers, from the first on, that make feature maps once and keep their weights; the others learn from the maps."""
    map_views: int = 0
    """Random views of each training image that there are maps of."""
    upper_epochs: int = 0
    """Epochs on maps."""
    upper_s: float = 0.0
    """The forecast of each epoch on maps; 0 without a time limit."""
    maps_s: float = 0.0
    """The forecast of the time for all maps; 0 without a time limit."""

    @property
    def forecast_s(self) -> float:
        """Return the seconds that all of it is expected to take; 0 without a time limit."""
        return self.head_s + self.teacher_s + self.maps_s + self.upper_epochs * self.upper_s + sum(self.seconds)


@dataclass(frozen=True)
class Trained:
    """What training left beside the weights."""

    spec: ModelSpec
    """The net."""
    image: ImageSpec
    """How images are prepared for it."""
    start: str
    """Where the weights came from before training: a file's name, or `from scratch`."""
    epochs: int
    """Epochs that were run beside those of the classifier alone."""
    validation: Score
    """Of the weights that were kept."""
    temperature: float
    """What the logits were divided by, so that probabilities mean what they say; folded into the weights."""
    data_digest: str
    """SHA-256 that names the training images with their labels."""
    splits: dict[str, float | int]
    """`seed`, `val`, `test`: the rule that images are split by."""
    schedule: Schedule | None = None
    """What its epochs did."""
    balance: Literal["none", "weights", "sampler"] = "none"
    """How unequal classes were made to count the same."""
    task: str = field(default="classify", metadata=UNSAID)
    """What the net was trained for, one of `tasks.names()`."""
