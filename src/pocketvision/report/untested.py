"""What a run did not test: an honest list, drawn from its facts."""

from dataclasses import dataclass

from pocketvision import words
from pocketvision.metrics.accuracy import wilson
from pocketvision.report.run import Run
from pocketvision.report.words import SIZES, bound

FEW_IMAGES = 20
"""Below this many test images a class's recall is a guess: 20 of 20 right still allows a true share of 84%."""
WIDE_INTERVAL = 0.08


@dataclass(frozen=True)
class Gap:
    """One thing that was not tested, and what follows."""

    title: str
    text: str


def untested(run: Run) -> tuple[Gap, ...]:
    """Return what a reader must not take from the page, the gravest first."""
    return tuple(
        gap
        for gap in (
            _agreement(run),
            _other_places(run),
            _unknown(run),
            _few(run),
            _sizes(run),
            _wide(run),
            _barely(run),
            _devices(run),
            _decoders(run),
            _unreadable(run),
            _candidates(run),
            _memory(run),
            _groups(run),
        )
        if gap is not None
    )


def _agreement(run: Run) -> Gap | None:
    agreement = run.proof.agreement
    if agreement is None:
        text = "The trained net was not at hand, so the file was only compared with the answers stored in it."
        return Gap("Agreement with the trained net", text)
    if agreement.count < run.proof.accuracy.count:
        text = f"It was measured on {agreement.count:,} of {run.proof.accuracy.count:,} test images."
        return Gap("Agreement on every image", text)
    return None


def _other_places(run: Run) -> Gap:
    return Gap(
        "Images unlike these",
        f"The test images come from the same folder as the training images ({run.title}). Other cameras, light, "
        f"backgrounds, seasons or places were not tested, and {run.metric} there is usually lower.",
    )


def _unknown(run: Run) -> Gap:
    if run.placed:
        return Gap(
            "Images of something else",
            "The test images are of the kind that the net learned from, most with things that it knows. In others it "
            "may find things where none are. Images without any, labeled as such, teach it not to.",
        )
    if run.several:
        return Gap(
            "Images of something else",
            "Every image shown was one for which these attributes make sense. On others the file answers all the same.",
        )
    known = f"For the file, everything is one of the {words.plural(len(run.proof.labels), 'label')}. No image of "
    if run.proof.abstain_below is None:
        end = "it will name one of them all the same, sometimes with a high probability."
    else:
        least = words.percent(run.proof.abstain_below)
        end = (
            f"it says “not sure” where its probability is below {least}, and names a label all the same elsewhere. "
            "Many images of something else will not be refused."
        )
    return Gap("Images of something else", f"{known}anything else was shown to it; {end}")


def _few(run: Run) -> Gap | None:
    if run.placed:
        return _few_boxes(run)
    if run.several:
        return _rare(run)
    totals = {label: sum(row) for label, row in zip(run.proof.labels, run.proof.confusion, strict=True)}
    few = sorted((label for label, total in totals.items() if total < FEW_IMAGES), key=totals.__getitem__)
    if not few:
        return None
    fewest = totals[few[0]]
    best = f" With {fewest} of {fewest} right, the true share may still be {words.percent(wilson(fewest, fewest).low)}."
    return Gap(
        "Classes with few test images",
        f"{words.plural(len(few), 'class', 'classes')} of {len(totals)} have fewer than {FEW_IMAGES} test images "
        f"({words.some([f'{label}: {totals[label]}' for label in few])})."
        f"{best if fewest else ' A class without test images was not tested at all.'}",
    )


def _few_boxes(run: Run) -> Gap | None:
    few = sorted((each for each in run.proof.attributes if each.positives < FEW_IMAGES), key=lambda it: it.positives)
    if not few:
        return None
    return Gap(
        "Classes with few true boxes",
        f"{words.plural(len(few), 'class', 'classes')} of {len(run.proof.attributes)} have fewer than {FEW_IMAGES} "
        f"true boxes in the test images ({words.some([f'{each.name}: {each.positives}' for each in few])}). Their "
        "figures are guesses; a class without any was not tested at all.",
    )


def _sizes(run: Run) -> Gap | None:
    if not run.placed:
        return None
    missing = [f"{size} ({sides})" for size, sides in SIZES.items() if f"AP {size}" not in run.proof.accuracy.others]
    if not missing:
        return None
    return Gap("Things of other sizes", f"No test image shows things that are {' or '.join(missing)}.")


def _rare(run: Run) -> Gap | None:
    rare = [each for each in run.proof.attributes if min(each.positives, each.known - each.positives) < FEW_IMAGES]
    if not rare:
        return None
    return Gap(
        "Rare attributes",
        f"{words.plural(len(rare), 'attribute')} of {len(run.proof.attributes)} are had, or lacked, by fewer than "
        f"{FEW_IMAGES} test images: {words.some([f'{each.name}: {each.positives} of {each.known}' for each in rare])}. "
        "Their figures are guesses; see their intervals.",
    )


def _wide(run: Run) -> Gap | None:
    accuracy = run.proof.accuracy
    if accuracy.high - accuracy.low < WIDE_INTERVAL:
        return None
    return Gap(
        f"A finer figure of {run.metric}",
        f"{words.plural(accuracy.count, 'test image')} allow no more than '{words.interval(accuracy)}'. "
        "Four times as many images would halve that interval.",
    )


def _barely(run: Run) -> Gap | None:
    least, accuracy = run.choice.budget.limits.get("min_accuracy"), run.proof.accuracy
    if least is None or not accuracy.low < least <= accuracy.value:
        return None
    return Gap(
        f"Whether the limit of {run.metric} is truly kept",
        f"The measured {words.percent(accuracy.value)} is above {bound(least, 'share')}, but the interval begins "
        f"at {words.percent(accuracy.low)}: on other images of the same kind it may fall below.",
    )


def _devices(run: Run) -> Gap:
    latency = run.proof.latency
    devices = [verdict.predicted.device for verdict in run.proof.verdicts if verdict.predicted]
    predicted = "".join(f", the time on {device} is a prediction" for device in devices)
    return Gap(
        "Other phones and runtimes",
        f"Time was measured on {latency.machine} with {latency.runtime}, "
        f"{words.plural(latency.threads, 'thread')}. No other device was timed{predicted}; the ratio to the reference "
        "net carries over better than the milliseconds. Heat and battery were not measured.",
    )


def _decoders(run: Run) -> Gap:
    image = run.manifest.image
    rule = "the whole image is squashed to" if image.crop_mode == "squash" else "the center is cut and resized to"
    ours = (
        f"Here {rule} {image.resolution} × {image.resolution} pixels, {image.interpolation}, after turning it as its "
        "EXIF mark says."
    )
    if not run.proof.resized:
        text = f"{ours} An app that resizes otherwise, or times decoding too, will see other figures."
        return Gap("Other decoders and resizers", text)
    return Gap(
        "An app's own decoder",
        f"{ours} Other ways to resize were imitated on a computer; a phone's decoder of JPEG may differ by a few "
        "levels of brightness. Decoding and resizing were not timed.",
    )


def _unreadable(run: Run) -> Gap | None:
    unreadable = run.proof.unreadable
    if not unreadable:
        return None
    return Gap(
        "Unreadable test images",
        f"{words.plural(len(unreadable), 'image')} could not be decoded and do not count: {words.some(unreadable, 3)}.",
    )


def _candidates(run: Run) -> Gap:
    return Gap(
        "The other candidates on this data, and other seeds",
        f"Only {run.manifest.model} was trained, once. The others were ranked by published ImageNet figures, which "
        f"give an order, not a promise. Another seed moves {run.metric} too.",
    )


def _memory(run: Run) -> Gap:
    peak = words.size(run.cost.peak_activation_bytes)
    return Gap(
        "Memory in use",
        f"The peak of {peak} for activations is counted from the net's layers ({run.manifest.precision}), "
        "not measured on a device. A runtime needs memory of its own beside it.",
    )


def _groups(run: Run) -> Gap:
    return Gap(
        "Fairness within a class",
        f"{run.metric_title} is an average. Whether some kinds of images within a class fare worse was not looked at.",
    )
