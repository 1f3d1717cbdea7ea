"""What memory cannot hold is refused before it is begun; what it may hold is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.app import run
from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.progress import Silent
from pocketvision.train import memory
from pocketvision.train.inputs import Loaded, load_data
from pocketvision.train.memory import available_bytes, require_memory, step_bytes
from pocketvision.values import ModelSpec

SPEC = ModelSpec("mobilenet_v1", 0.25, 64, 2)


def system(folder: Path, free: int, limit: str = "", used: int = 0, files: int = 0) -> Path:
    """Write what a system says of its memory, in bytes."""
    (folder / "proc").mkdir()
    (folder / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {free // 1024} kB\n")
    if limit:
        group = folder / "sys/fs/cgroup"
        group.mkdir(parents=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")
    return folder


def photos(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / "base" / label).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"base/{label}/{number}.png")
    return folder / "base"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "run").mkdir()
    return load_data(photos(tmp_path), tmp_path / "run", val=0.2, test=0.1, seed=1, progress=Silent())


@pytest.mark.parametrize(
    ("limit", "used", "files", "there"),
    [
        ("", 0, 0, 8 << 20),
        ("max", 0, 0, 8 << 20),
        ("4194304", 1 << 20, 0, 3 << 20),
        ("4194304", 3 << 20, 2048, 1050624),
    ],
)
def test_the_smallest_limit_counts(limit: str, used: int, files: int, there: int, tmp_path: Path) -> None:
    assert available_bytes(system(tmp_path, 8 << 20, limit, used, files)) == there


def test_this_machine_says_what_it_has() -> None:
    assert (available_bytes() or 0) > 1 << 20


def test_what_does_not_fit_is_refused_and_what_fits_is_not(loaded: Loaded, tmp_path: Path) -> None:
    needed = step_bytes(SPEC, 2)
    assert step_bytes(ModelSpec("mobilenet_v1", 0.25, 128, 2), 2) > 1.5 * needed
    (tmp_path / "much").mkdir()
    require_memory(loaded, SPEC, "cpu", system=system(tmp_path / "much", 2 * needed))
    (tmp_path / "little").mkdir()
    with pytest.raises(PocketvisionError, match=r"at least 0\.0 GB of memory.*take a lower --resolution"):
        require_memory(loaded, SPEC, "cpu", system=system(tmp_path / "little", needed // 2))
    with pytest.raises(UsageError, match="at least 32 pixels a side, not 16"):
        require_memory(loaded, ModelSpec("mobilenet_v1", 0.25, 16, 2), "cpu")


@pytest.mark.parametrize("verb", ["train", "fit"])
def test_a_verb_refuses_before_it_prepares_and_leaves_nothing(
    verb: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    photos(tmp_path)
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1 << 30)
    small = ["--model", "mobilenet_v2", "--weights", "none", "--epochs", "1", "--device", "cpu"]
    assert run([verb, "base", *small, "--resolution", "4096"]) == 1
    assert "and 1.1 GB are free; take a lower --resolution" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert run([verb, "base", *small, "--resolution", "16"]) == 2
    assert "at least 32 pixels" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
