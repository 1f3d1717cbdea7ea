"""The gallery: what `check` found, as one HTML page that shows the images in question and opens without a network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.progress import Progress, Silent, track
from pocketvision.report.page import template
from pocketvision.report.thumbnails import thumbnail
from pocketvision.values import Health, Problem, ProblemKind, Statistic

SHOWN = 24
"""Groups of images of one kind of problem that the page shows; the rest is in check.json."""
SHOWN_OF_A_GROUP = 6
LISTED = 40
"""Files of one kind of problem that are listed by name."""


@dataclass(frozen=True)
class Meaning:
    """What a kind of problem is called, and what to do about it."""

    kind: ProblemKind
    title: str
    advice: str


WITH_ANOTHER = (
    Meaning(
        "leak",
        "In two splits",
        "Trained on and tested by: such images make the accuracy look better than it is. Exact copies are left out "
        "of the larger split; near duplicates stay until you remove them.",
    ),
    Meaning(
        "conflict",
        "One image, two labels",
        "The same file content under two classes. All of them are left out: only you can say which label is right.",
    ),
    Meaning(
        "near conflict",
        "Nearly one image, two labels",
        "Nearly the same pixels under two classes. They stay in the data: look which label is right, and remove the "
        "other.",
    ),
    Meaning(
        "near duplicate",
        "Near duplicates",
        "Saved again, resized or lightly changed. They stay, together in one split where you gave none, and weigh more "
        "than others.",
    ),
    Meaning("duplicate", "Exact copies", "The same file content again. One of each stays."),
)
"""Problems of an image with another one, the most serious first."""

ALONE = (
    Meaning("unreadable", "Unreadable", "Damaged, cut short, or in no format that can be read. They are left out."),
    Meaning("empty file", "Empty", "Files of 0 bytes. They are left out."),
    Meaning("not an image", "No images", "Neither name nor first bytes are those of an image. They are left out."),
    Meaning("missing", "Missing", "Named in a table or annotation, but not there."),
    Meaning("unlabeled", "Without a label", "Named in a table without a label. They are left out."),
    Meaning("listed twice", "GalleryList twice", "Named in more than one row. They are used once."),
    Meaning(
        "box",
        "Boxes",
        "Boxes that reach out of their image are clipped, those without an area dropped, corners the wrong way round "
        "exchanged.",
    ),
    Meaning("suffix", "Misnamed", "The suffix names another format than the content has. They are used."),
    Meaning("animated", "Animated", "Of several images in a file the first is used."),
)
"""Problems of an image by itself."""


@dataclass(frozen=True)
class Tile:
    """An image to show."""

    file: str
    image: str
    """Data address, or '' for a grey tile."""
    label: str
    """Its class, where the labels are what is wrong; else ''."""


@dataclass(frozen=True)
class Cluster:
    """Images that repeat or contradict each other, the one that stays first."""

    tiles: tuple[Tile, ...]
    more: int
    """Images that belong to it and are not shown."""


@dataclass(frozen=True)
class Together:
    """Problems of one kind, as clusters of images."""

    meaning: Meaning
    count: int
    clusters: tuple[Cluster, ...]
    more: int
    """Clusters that are not shown."""


@dataclass(frozen=True)
class GalleryList:
    """Problems of one kind, as a list."""

    meaning: Meaning
    problems: tuple[Problem, ...]
    count: int


@dataclass(frozen=True)
class Shown:
    """A statistic with some of its images."""

    statistic: Statistic
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class ClassRow:
    """A class's images; shares in percent of the largest class."""

    label: str
    counts: dict[str, int]
    total: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Gallery:
    """All that the template shows."""

    health: Health
    title: str
    left_out: int
    classes: tuple[ClassRow, ...]
    together: tuple[Together, ...]
    listed: tuple[GalleryList, ...]
    statistics: tuple[Shown, ...]


def render(health: Health, *, progress: Progress = Silent()) -> str:
    """Return the page; images are read from the data set where it still lies."""
    return template("gallery.html").render(gallery=_gallery(health, progress))


def _gallery(health: Health, progress: Progress) -> Gallery:
    clusters = {meaning.kind: _clusters(health.problems, meaning.kind) for meaning in WITH_ANOTHER}
    labels = {problem.file: problem.label for problem in health.problems if problem.label}
    wanted = [file for kind in clusters for files in clusters[kind][:SHOWN] for file in files[:SHOWN_OF_A_GROUP]]
    wanted += [file for statistic in health.statistics for file in statistic.files]
    root, files = Path(health.root), list(dict.fromkeys(wanted))
    tiles = {
        file: Tile(file, thumbnail(root, file), labels.get(file, ""))
        for file in track(files, progress, "Drawing the gallery", len(files))
    }
    return Gallery(
        health=health,
        title=Path(health.root).name or health.root,
        left_out=len({problem.file for problem in health.problems if problem.left_out}),
        classes=_classes(health),
        together=tuple(_together(m, clusters[m.kind], health, tiles) for m in WITH_ANOTHER if clusters[m.kind]),
        listed=tuple(_listed(health.problems)),
        statistics=tuple(Shown(t, tuple(tiles[file] for file in t.files)) for t in health.statistics),
    )


def _clusters(problems: Iterable[Problem], kind: str) -> list[list[str]]:
    """Return the files that belong together; of copies first the one that the others repeat."""
    clusters: list[list[str]] = []
    home: dict[str, list[str]] = {}
    for problem in problems:
        if problem.kind != kind:
            continue
        cluster = home.get(problem.other) or home.get(problem.file)
        if cluster is None:
            clusters.append(cluster := [])
        for file in (problem.other, problem.file):
            if file not in home:
                cluster.append(file)
                home[file] = cluster
    return clusters


def _together(meaning: Meaning, clusters: Sequence[list[str]], health: Health, tiles: dict[str, Tile]) -> Together:
    shown = tuple(
        Cluster(tuple(tiles[file] for file in files[:SHOWN_OF_A_GROUP]), max(0, len(files) - SHOWN_OF_A_GROUP))
        for files in clusters[:SHOWN]
    )
    count = sum(problem.kind == meaning.kind for problem in health.problems)
    return Together(meaning, count, shown, len(clusters) - len(shown))


def _listed(problems: Sequence[Problem]) -> Iterable[GalleryList]:
    for meaning in ALONE:
        found = [problem for problem in problems if problem.kind == meaning.kind]
        if found:
            yield GalleryList(meaning, tuple(found[:LISTED]), len(found))


def _classes(health: Health) -> tuple[ClassRow, ...]:
    totals = {label: sum(row.values()) for label, row in health.counts.items()}
    largest = max((*totals.values(), 1))
    return tuple(
        ClassRow(label, row, totals[label], {name: 100 * count / largest for name, count in row.items()})
        for label, row in health.counts.items()
    )
