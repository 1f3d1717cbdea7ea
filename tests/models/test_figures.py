"""The shipped figures are those of the nets; `--rewrite` writes them anew after a change of the nets or figures."""

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch

import pocketvision
from pocketvision.models.catalogue import build_spec, family_of, names
from pocketvision.models.figures import Figures, anatomy, figures
from pocketvision.values import ModelSpec
from tests.models.counting import anatomy_line, compute, dissect, settings

FOLDER = Path(pocketvision.__file__).parent / "models"


def test_the_shipped_costs_are_those_of_the_nets(golden: Callable[[Path, str], None]) -> None:
    rows = [compute(spec) for spec in settings()]
    text = io.StringIO()
    writer = csv.DictWriter(text, [item.name for item in fields(Figures)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    golden(FOLDER / "figures.csv", text.getvalue())


def test_the_shipped_layers_are_those_of_the_nets(golden: Callable[[Path, str], None]) -> None:
    usual = {row.name: row for row in reversed(figures()) if row.width == 1.0}
    lines = []
    for name in names():
        family, row = family_of(name), usual[name]
        groups = family.groups[0] if family.groups else None
        spec = ModelSpec(name, 1.0, family.resolution, row.num_classes, groups=groups)
        with torch.device("meta"):
            kinds = [type(layer).__name__ for layer in build_spec(spec).features]
        found = dissect(spec, kinds)
        lines.append(anatomy_line(found))
    golden(FOLDER / "anatomy.jsonl", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", names())
def test_a_net_is_the_sum_of_its_layers(name: str) -> None:
    family, shape = family_of(name), anatomy(name)
    groups = family.groups[0] if family.groups else None
    (row,) = (
        row
        for row in figures()
        if (row.name, row.width, row.resolution, row.groups) == (name, 1.0, family.resolution, groups)
    )
    assert sum(layer.params for layer in shape.layers) == row.params
    assert sum(layer.macs for layer in shape.layers) == row.macs
    assert shape.block
