"""The page that answers "which model?" shows the catalogue's own figures."""

from collections.abc import Callable
from pathlib import Path

import pocketvision
from pocketvision.models.figures import CatalogueLine

DOCS = Path(__file__).parents[2] / "docs" / "guide"
HEAD = "| net | top-1 | MACs | params | int8 file | memory |\n|---|---|---|---|---|---|\n"
# fmt: off
NETS = (
    "alexnet", "efficientnet_b0", "efficientnet_lite0", "fd_mobilenet", "ghostnet", "googlenet", "inception_v2",
    "inception_v3", "mnasnet_b1", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
    "mobilenet_v4_conv_small", "resnet50", "resnext50_32x4d", "shufflenet_v1", "shufflenet_v2", "squeezenet1_0",
    "squeezenet1_1", "vgg16", "xception",
)
# fmt: on
NARROW = {("mobilenet_v1", 0.25, 128), ("mobilenet_v1", 0.5, 224), ("mobilenet_v2", 0.35, 96)}


def row(line: CatalogueLine) -> str:
    narrow = (line.name, line.width, line.resolution) in NARROW
    name = f"{line.name} {line.width:g} @ {line.resolution}px" if narrow else line.name
    sizes = [f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB" for size in costs(line)]
    return f"| {name} | {line.top1:.1f}% | {line.macs / 1e6:,.0f}M | {line.params / 1e6:.2f}M | {' | '.join(sizes)} |"


def costs(line: CatalogueLine) -> tuple[int, int]:
    return line.int8_bytes, line.peak_bytes_int8


def test_the_table_is_the_catalogues(golden: Callable[[Path, str], None]) -> None:
    lines = [line for line in pocketvision.models() if line.name in NETS]
    lines += [line for line in pocketvision.models(every=True) if (line.name, line.width, line.resolution) in NARROW]
    assert len(lines) == len(NETS) + len(NARROW)
    rows = "\n".join(row(line) for line in sorted(lines, key=lambda line: line.macs))
    before, _, rest = (DOCS / "models.md").read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- /table -->")
    golden(DOCS / "models.md", f"{before}<!-- table -->\n{HEAD}{rows}\n<!-- /table -->{after}")


def test_the_drawing_is_the_catalogues(golden: Callable[[Path, str], None], tmp_path: Path) -> None:
    pocketvision.models(every=True, plot=tmp_path / "catalogue.svg")
    golden(DOCS / "catalogue.svg", (tmp_path / "catalogue.svg").read_text(encoding="utf-8"))
