"""A net that is there is judged by what is given, be it images of one class, a test folder or a table of test rows."""

import importlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pocketvision.cli.app import run
from pocketvision.data.layout import scan
from pocketvision.errors import DataError
from pocketvision.verbs.predict import predict
from pocketvision.verbs.verify import verify


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only: what is tested here is what is judged."""
    timing = importlib.import_module("pocketvision.verify.timing")
    monkeypatch.setattr(timing, "measure", partial(timing.measure, visits=1, visit_ms=1))


@pytest.fixture
def file(toy: Any, tmp_path: Path) -> Path:
    delivered: Path = toy.deliver(tmp_path / "run")
    return delivered


def classes(toy: Any, *names: str, into: Path) -> Path:
    for name in names:
        shutil.copytree(toy.data / name, into / name)
    return into


def given(toy: Any, place: Path, layout: str) -> Path:
    """Lay images of one or two classes of the toy's out, in a layout that no net can be trained on."""
    first, second = toy.dataset.labels[:2]
    if layout == "test folder":
        classes(toy, first, second, into=place / "test")
    elif layout == "val and test folders":
        classes(toy, first, into=place / "val")
        classes(toy, second, into=place / "test")
    else:
        classes(toy, first, into=place)
    if layout == "labels.txt of all":
        place.joinpath("labels.txt").write_text("\n".join(toy.dataset.labels), encoding="utf-8")
    if layout == "an empty folder":
        (place / second).mkdir()
    if layout in ("one label in a table", "test rows in a table"):
        said = ",test" if layout.startswith("test") else ","
        rows = [f"{path.relative_to(place).as_posix()},{first}{said}" for path in sorted((place / first).iterdir())]
        place.joinpath("list.csv").write_text("\n".join(["file,label,split", *rows]), encoding="utf-8")
        return place / "list.csv"
    return place


LAYOUTS = (
    "one class folder",
    "test folder",
    "val and test folders",
    "labels.txt of all",
    "an empty folder",
    "one label in a table",
    "test rows in a table",
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trained_net_is_judged_by_what_is_given_where_none_could_be_trained(
    toy: Any, file: Path, tmp_path: Path, layout: str
) -> None:
    data = given(toy, tmp_path / "photos", layout)
    proof = verify(file, data)
    count = len(list(tmp_path.joinpath("photos").rglob("*.png")))
    assert proof.judged is not None
    assert proof.judged.given == count > 0
    assert sum(map(sum, proof.confusion)) == proof.judged.judged
    with pytest.raises(DataError):
        scan(data)


def test_the_command_takes_one_class_and_predict_any_folder(toy: Any, file: Path, tmp_path: Path) -> None:
    data = given(toy, tmp_path / "photos", "one class folder")
    assert run(["verify", str(file), str(data)]) in (0, 1)
    assert all(answer.error is None for answer in predict(file, data))


def test_what_is_no_class_of_the_net_comes_with_the_hint_of_the_layout(toy: Any, file: Path, tmp_path: Path) -> None:
    classes(toy, *toy.dataset.labels, into=tmp_path / "box" / "photos")
    with pytest.raises(DataError, match=r"only in the data: photos\..*did you mean .*photos\?"):
        verify(file, tmp_path / "box")
    classes(toy, toy.dataset.labels[0], into=tmp_path / "flat" / "test")
    for path in (tmp_path / "flat" / "test").rglob("*.png"):
        path.rename(tmp_path / "flat" / "test" / path.name)
    with pytest.raises(DataError, match="has images but no class folders"):
        verify(file, tmp_path / "flat")
