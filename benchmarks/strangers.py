"""What share of images that are none of its labels does a file refuse?

    python benchmarks/strangers.py runs/fit/face-mask/export/model.onnx photos/face-mask photos/smiles photos/other

The first folder is what the file was made of: its test images say what refusing costs. The others hold strangers; of
each, up to 400 images are asked, drawn with seed 0. Prints a Markdown table.
"""

import argparse
from pathlib import Path

import numpy as np

from pocketvision.metrics.accuracy import wilson
from pocketvision.values import Score
from pocketvision.verbs.predict import predict
from pocketvision.verbs.verify import verify
from pocketvision.verify.predict import expand

MOST = 400


def main() -> None:
    """Ask the file, print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("file", type=Path)
    words.add_argument("data", type=Path, help="what it was made of")
    words.add_argument("strangers", type=Path, nargs="+", help="folders of other images")
    asked = words.parse_args()
    proof = verify(asked.file, asked.data)
    if proof.refusal is None:
        raise SystemExit(f"{asked.file} never refuses; export it with --abstain auto")
    print(f"Below {proof.abstain_below:.1%} {asked.file} says 'not sure'.\n")
    print("| images | asked | refused | 95% interval |\n|---|---|---|---|")
    answered = proof.refusal.coverage
    refused = wilson(round((1 - answered.value) * answered.count), answered.count)
    print(row(f"{asked.data.name}, test: known", refused))
    if proof.refusal.right is not None:
        wrong = 1 - proof.refusal.right.value
        print(f"| (wrong among the answered: {wrong:.1%} instead of {1 - proof.accuracy.value:.1%}) | | | |")
    for folder in asked.strangers:
        print(row(f"{folder.name}: strangers", strangers_refused(asked.file, folder)))


def strangers_refused(file: Path, folder: Path) -> Score:
    """Return the share of a folder's images that are refused; unreadable ones do not count."""
    paths = expand([folder])
    places = sorted(np.random.default_rng(0).permutation(len(paths))[:MOST])
    answers = [answer for answer in predict(file, [paths[place] for place in places]) if answer.error is None]
    return wilson(sum(not answer.sure for answer in answers), len(answers))


def row(name: str, share: Score) -> str:
    """Return one line of the table."""
    return f"| {name} | {share.count} | {share.value:.1%} | {share.low:.1%} to {share.high:.1%} |"


if __name__ == "__main__":
    main()
