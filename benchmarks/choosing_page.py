"""Writes what the terminal says, and the picture, into docs/guide/choosing.md.

    python benchmarks/choosing_page.py DATA                      prints what would stand there
    python benchmarks/choosing_page.py DATA --write [--seed 42]  writes it; the picture needs Chromium

Runs `plan` and `fit` with one budget, and `plan` with one that nothing keeps, with the weights on this machine.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs" / "guide" / "choosing.md", ROOT / "docs" / "guide" / "choosing.png"
BUDGET, MISSED = ("--max-size", "100KB", "--max-latency", "10ms"), ("--max-size", "5KB")
SHOWN = 5
"""Rows of a table that stand on the page."""
LEFT_OUT = re.compile(r"\.(tflite|pth\.tar|safetensors|pth)\b")
TOLD = re.compile(r"chosen|trying|training \d|training: \d+ s|on validation|float:|int8:")
ALONE = "<style>header.top, footer, section:not(#choice), #choice > :not(.card), .note { display: none }</style>"


def said(*words: str) -> tuple[str, str]:
    """Run a command; return its results and its news."""
    done = subprocess.run(
        [sys.executable, "-m", "pocketvision", *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return done.stdout, done.stderr


def shortened(text: str) -> str:
    """Keep the first rows of each table, and names of files without their kind, in their columns."""
    kept: list[str] = []
    for paragraph in LEFT_OUT.sub(lambda suffix: " " * len(suffix[0]), text).strip().split("\n\n"):
        lines = paragraph.splitlines()
        rows = lines if len(lines) <= SHOWN + 2 else [*lines[: SHOWN + 1], "..."]
        kept += [*rows, ""]
    return "\n".join(line.rstrip() for line in kept[:-1])


def news(text: str) -> str:
    """Keep the lines that tell of the choice and of its trainings."""
    kept = [line for line in text.splitlines() if TOLD.match(line)]
    return LEFT_OUT.sub("", "\n".join(kept))


def picture(report: Path, folder: Path) -> None:
    """Photograph the plane of the choice alone."""
    alone = folder / "choice.html"
    alone.write_text(report.read_text(encoding="utf-8").replace("</head>", f"{ALONE}</head>", 1), encoding="utf-8")
    shot = folder / "choice.png"
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("the picture needs Chromium")
    options = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,680")
    subprocess.run(
        [browser, *options, "--virtual-time-budget=4000", f"--screenshot={shot}", alone.as_uri()],
        check=True,
        capture_output=True,
    )
    from PIL import Image

    with Image.open(shot) as image:
        image.convert("RGB").quantize(256).save(PICTURE, optimize=True)


def main() -> None:
    """Run the commands, and print or write the page's parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--seed", default="42")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    data = os.path.abspath(given.data)
    with tempfile.TemporaryDirectory() as folder:
        parts = {"plan": shortened(said("plan", data, *BUDGET, "--seed", given.seed)[0])}
        out, told = said("fit", data, *BUDGET, "--seed", given.seed, "--output", folder)
        parts["fit"] = f"{news(told)}\n\n{out.strip()}".replace(folder, "runs")
        parts["missed"] = shortened(said("plan", data, *MISSED, "--seed", given.seed)[1].split("error: ")[-1])
        if given.write:
            picture(next(Path(folder).glob("fit/*/report.html")), Path(folder))
    page = PAGE.read_text(encoding="utf-8")
    for name, text in parts.items():
        block = f"<!-- {name} -->\n```text\n{text.replace(data, 'photos')}\n```\n<!-- /{name} -->"
        before, _, rest = page.partition(f"<!-- {name} -->")
        page = before + block + rest.partition(f"<!-- /{name} -->")[2]
        print(block)
    if given.write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
