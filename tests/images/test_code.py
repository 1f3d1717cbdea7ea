"""The lines of Python that people get prepare every odd image as this package does, to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from pocketvision.images.code import prepare_code
from pocketvision.images.prepare import load
from pocketvision.values import ImageSpec
from tests.images.strange import STRANGE

SPECS = (ImageSpec(24), ImageSpec(24, "squash", 0.9), ImageSpec(24, "crop"), ImageSpec(32, "crop", 0.875))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_odd_image_is_prepared_as_here(spec: ImageSpec, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(compile(prepare_code(spec), "USE.md", "exec"), names)
    wrong = []
    for name, content in STRANGE.items():
        path = tmp_path / name
        path.write_bytes(content)
        if not np.array_equal(names["prepare"](path), load(content, spec)):  # type: ignore[operator]
            wrong.append(name)
    assert wrong == []
