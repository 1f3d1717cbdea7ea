"""The health of a folder of pictures: every file is hashed, every content really decoded, and what is wrong is named.

What becomes of odd files:

- unreadable and empty files, and files that are no pictures, are left out;
- of exact copies within a class the first by name stays, one in test before one in val before one in train;
- a picture that lies under two labels is left out of both;
- a suffix that lies and an animation are told of and used.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import mirror_safe, resolve
from pocketvision.data.facts import FactBook, Facts
from pocketvision.data.kinds import counts_of, label_index, line_of, must_be_classes, says, told
from pocketvision.data.layout import Found, Listing, natural_key, scan
from pocketvision.data.notes import notes_on
from pocketvision.data.parallel import in_order
from pocketvision.data.splits import FEWEST, assign, check_shares
from pocketvision.errors import DataError, ImageError
from pocketvision.files import write_json
from pocketvision.images.decode import content_of, quiet, read
from pocketvision.progress import Progress, Silent, track
from pocketvision.values import Dataset, Example, Health, Problem, Split

FORMAT_OF = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

PRECEDENCE: dict[Split | None, int] = {"test": 0, "val": 1, "train": 2, None: 2}
"""Where copies lie on two sides of a split, the scarcer side keeps its picture."""


@dataclass(frozen=True)
class Look:
    """What one file turned out to be."""

    found: Found
    sha256: str
    size: tuple[int, int]
    """Width and height, upright; zeros where it is not usable."""
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether it can be decoded."""
        return not any(problem.left_out for problem in self.problems)


def check(
    data: str | Path,
    *,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 42,
    output: str | Path | None = None,
    progress: Progress = Silent(),
) -> Health:
    """Check a folder of pictures and tell what is wrong with it; `output` receives it as check.json.

    `data` is a folder of class folders, or the word `digits`; `val` and `test` are shares of the pictures, 0..1.
    A `DataError` says what to add where the folder cannot be learnt from: fewer than two classes, or a class with
    fewer than three different pictures.
    """
    check_shares(val, test)
    _, health = _load(scan(resolve(data)), val=val, test=test, seed=seed, decoded=DecodedCache(0), progress=progress)
    if output is not None:
        write_json(Path(output) / "check.json", health)
    return health


def load_dataset(
    data: str | Path, *, val: float = 0.15, test: float = 0.15, seed: int = 42, progress: Progress = Silent()
) -> tuple[Dataset, Health, DecodedCache]:
    """Check as `check` does, and return the usable pictures with labels and splits, and those kept decoded."""
    check_shares(val, test)
    listing = scan(resolve(data))
    must_be_classes(listing)
    decoded = DecodedCache(facts=FactBook())
    try:
        dataset, health = _load(listing, val=val, test=test, seed=seed, decoded=decoded, progress=progress)
    finally:
        decoded.close()
    return dataset, health, decoded


def _load(
    listing: Listing, *, val: float, test: float, seed: int, decoded: DecodedCache, progress: Progress
) -> tuple[Dataset, Health]:
    looks = _looks(listing, decoded, progress)
    kept, doubled = _without_copies([look for look in looks if look.usable])
    _must_be_enough(listing, looks, kept)
    examples = _examples(listing, kept, seed=seed, val=val, test=test)
    dataset = Dataset(
        str(listing.root),
        listing.labels,
        examples,
        mirror_safe=mirror_safe(listing.root),
        kind=listing.kind,
        attributes=listing.attributes,
    )
    problems = [*listing.problems, *(problem for look in looks for problem in look.problems), *doubled]
    return dataset, _health(dataset, listing, kept=kept, problems=problems)


# ---------------------------------------------------------------- looking at each file


def _looks(listing: Listing, decoded: DecodedCache, progress: Progress) -> list[Look]:
    with quiet():
        looks = in_order(lambda found: _look(listing.root, found, decoded), listing.found)
        return list(track(looks, progress, "Checking pictures", len(listing.found)))


def _look(root: Path, found: Found, decoded: DecodedCache) -> Look:
    try:
        content = content_of(root / found.file)
        if not content:
            return Look(found, "", (0, 0), (Problem(found.file, "empty file", "0 bytes", left_out=True),))
        sha256 = hashlib.sha256(content).hexdigest()
        facts = decoded.known(sha256) or _decoded(content, sha256, decoded)
    except ImageError as error:
        return Look(found, "", (0, 0), (Problem(found.file, "unreadable", str(error), left_out=True),))
    return Look(found, sha256, (facts.width, facts.height), tuple(_oddities(found.file, facts)))


def _decoded(content: bytes, sha256: str, decoded: DecodedCache) -> Facts:
    picture = read(content)
    height, width, _ = picture.pixels.shape
    facts = Facts(picture.format, picture.animated, width, height)
    decoded.put(sha256, picture.pixels)
    decoded.learn(sha256, facts)
    return facts


def _oddities(file: str, picture: Facts) -> Iterable[Problem]:
    suffix = PurePosixPath(file).suffix
    if FORMAT_OF.get(suffix.lower()) != picture.format:
        named = f"named {suffix}" if suffix else "without a suffix"
        yield Problem(file, "suffix", f"a {picture.format} {named}", left_out=False)
    if picture.animated:
        yield Problem(file, "animated", "holds several pictures; the first is used", left_out=False)


# ---------------------------------------------------------------- copies


def _without_copies(looks: list[Look]) -> tuple[list[Look], list[Problem]]:
    """Keep one file of each content, none where its copies disagree about the label."""
    groups: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        groups[look.sha256].append(look)
    dropped: dict[str, Problem] = {}
    for group in groups.values():
        answers = {says(look.found) for look in group}
        dropped |= {p.file: p for p in (_conflicts(group) if len(answers) > 1 else _duplicates(group))}
    return [look for look in looks if look.found.file not in dropped], list(dropped.values())


def _conflicts(group: list[Look]) -> Iterable[Problem]:
    for look in group:
        other = next(o.found for o in group if says(o.found) != says(look.found))
        detail = f"the same picture is labelled {told(other)} as {other.file}"
        yield Problem(look.found.file, "conflict", detail, left_out=True)


def _duplicates(group: list[Look]) -> Iterable[Problem]:
    first, *copies = sorted(group, key=lambda o: (PRECEDENCE[o.found.split], natural_key(o.found.file)))
    for look in copies:
        yield Problem(look.found.file, "duplicate", f"the same picture as {first.found.file}", left_out=True)


# ---------------------------------------------------------------- what is left


def _must_be_enough(listing: Listing, looks: list[Look], kept: list[Look]) -> None:
    counts = Counter(look.found.label for look in kept)
    groups = listing.labels if listing.kind == "classes" else ("",)
    short = [label for label in groups if counts[label] < FEWEST]
    if not short:
        return
    wanted = "; ".join(
        f"{repr(label) if label else 'the data'} has {counts[label]}, add {FEWEST - counts[label]}" for label in short
    )
    broken = [look.problems[0] for look in looks if look.found.label in short and not look.usable]
    first = f" {len(broken)} could not be used, such as {broken[0].file}: {broken[0].detail}." if broken else ""
    raise DataError(f"a class needs {FEWEST} different usable pictures at least: {wanted}, in '{listing.root}'.{first}")


def _examples(listing: Listing, kept: list[Look], *, seed: int, val: float, test: float) -> tuple[Example, ...]:
    splits: dict[str, Split] = {look.sha256: look.found.split for look in kept if look.found.split}
    given = set(splits.values())
    for label in listing.labels if listing.kind == "classes" else ("",):
        # The person's own val and test folders stand; only what is missing is cut from train.
        free = [look.sha256 for look in kept if look.found.label == label and look.found.split in (None, "train")]
        splits |= assign(free, seed=seed, val=0 if "val" in given else val, test=0 if "test" in given else test)
    labels = {label: index for index, label in enumerate(listing.labels)}
    examples = tuple(_example(look, labels, splits[look.sha256]) for look in kept)
    if listing.kind != "classes":
        return examples
    trained = {example.label for example in examples if example.split == "train"}
    if lacking := [label for index, label in enumerate(listing.labels) if index not in trained]:
        raise DataError(f"no usable picture to train on in the class '{lacking[0]}' of '{listing.root}': add some.")
    return examples


def _example(look: Look, labels: dict[str, int], split: Split) -> Example:
    found = look.found
    return Example(found.file, label_index(found, labels), split, look.sha256, found.attributes, found.boxes)


def _health(dataset: Dataset, listing: Listing, *, kept: list[Look], problems: list[Problem]) -> Health:
    counts = counts_of(dataset)
    sizes = [look.size for look in kept]
    short = sorted(min(size) for size in sizes)
    return Health(
        root=dataset.root,
        labels=dataset.labels,
        counts=counts,
        problems=tuple(sorted(problems, key=lambda problem: (natural_key(problem.file), problem.kind))),
        median_short_side=short[len(short) // 2],
        smallest_short_side=short[0],
        largest_long_side=max(max(size) for size in sizes),
        digest=digest(dataset),
        notes=(*listing.notes, *(notes_on(counts, sizes) if dataset.kind == "classes" else ())),
        kind=dataset.kind,
    )


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 over the sorted lines of label, tab, content hash: it names the pictures, not their files."""
    lines: Sequence[str] = sorted(line_of(dataset, example) for example in dataset.examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
