"""A run's folder: its default name, who gets it, and that nothing which the run did not write is ever deleted."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.cli.app import run as command
from pocketvision.errors import PocketvisionError, RunExists, UsageError
from pocketvision.files import remove_own, write_text
from pocketvision.runs import finished, name_for, nothing_left_on, open_run, write_checksums


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("photos", "photos"),
        ("/data/my photos/", "my photos"),
        ("photos/list.csv", "list.csv"),
        ("hf://owner/name:config", "name-config"),
        ("hf://owner/name@v1.0:a+b", "name@v1.0-a+b"),
        ("hf://name", "name"),
        ('a:b*c?"<d>|e', "a-b-c-d-e"),
        ("photos\\2024", "photos-2024"),
        ("tab\there", "tabhere"),
        ("Früchte", "Früchte"),
        ("Fru\u0308chte", "Früchte"),
        ("写真\u202egpj", "写真gpj"),
        ("half\udcff", "half"),
        (".", "run"),
        ("..", "run"),
        ("/", "run"),
        (":::", "run"),
    ],
)
def test_any_data_give_a_name_that_opens(data: str, name: str, tmp_path: Path) -> None:
    assert name_for(data) == name
    run = open_run(tmp_path, "train", name_for(data), settings={}, named=False)
    assert run == tmp_path / "train" / name
    assert not finished(run)


def test_a_long_name_is_cut_between_letters_and_leaves_room_for_a_number(tmp_path: Path) -> None:
    name = name_for("画" * 300)
    assert name == "画" * 40
    first, second = (open_run(tmp_path, "train", name, settings={}, named=False) for _ in range(2))
    assert second.name == f"{first.name}-2"


def test_a_run_started_anew_keeps_no_file_of_the_old_one(tmp_path: Path) -> None:
    written = ("model.bin", "model.c", "model.h", "model.onnx", "model.pte", "model.tflite", "model.xml")
    run = open_run(tmp_path, "fit", "pets", settings={})
    for name in (*written, "model.mlpackage/Data/model.mlmodel", "model.mlpackage/Data/weights/weight.bin"):
        write_text(run / "export" / name, "old")
    users = ("export/mine.odt", "export/labels.csv", "notes.txt", "args.json", ".own.part", "wrong/1.png")
    for name in users:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    assert open_run(tmp_path, "fit", "pets", settings={}, exist_ok=True) == run
    with nothing_left_on(UsageError, run=run):
        pass
    assert files(run) == {".pocketvision", "args.yaml", *users}


def test_a_mistyped_path_deletes_nothing_and_no_folder_that_was_there(tmp_path: Path) -> None:
    mine = tmp_path / "o/fit/mine"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    for output, exist_ok in (("o", False), ("o", True), ("p", False)):
        (tmp_path / "p").mkdir(exist_ok=True)
        with pytest.raises(PocketvisionError):
            pocketvision.fit(tmp_path / "nothere", output=tmp_path / output, name="mine", exist_ok=exist_ok)
    assert (mine / "notes.txt").read_text() == "mine"
    assert list((tmp_path / "p").iterdir()) == []


@pytest.mark.parametrize("exist_ok", [False, True])
def test_a_folder_that_is_no_run_is_refused_and_left_as_it_was(exist_ok: bool, tmp_path: Path) -> None:
    folder = tmp_path / "train" / "pets"
    folder.mkdir(parents=True)
    for name in ("notes.txt", "table.csv", "args.yaml", "page.html", "net.onnx"):
        (folder / name).write_text("mine")
    before = files(folder)
    with pytest.raises(RunExists, match=r"is no run.*--name"):
        open_run(tmp_path, "train", "pets", settings={}, exist_ok=exist_ok)
    assert files(folder) == before
    assert open_run(tmp_path, "train", "pets", settings={}, named=False).name == "pets-2"


def test_a_start_that_fails_gives_back_the_run_that_it_would_have_replaced(tmp_path: Path) -> None:
    run = open_run(tmp_path, "train", "pets", settings={"epochs": 1})
    write_text(run / "weights" / "best.safetensors", "trained for hours")
    write_checksums(run)
    (run / "notes.txt").write_text("mine")
    before = {name: (run / name).read_bytes() for name in files(run)}
    for _ in range(2):  # the second time after a start that was killed, and cleared nothing up
        open_run(tmp_path, "train", "pets", settings={"epochs": 2}, exist_ok=True)
        write_text(run / "check.json", "{}")
    with pytest.raises(UsageError), nothing_left_on(UsageError, run=run):
        raise UsageError
    assert (run / "check.json").exists(), "this was not new: there is something to resume"
    open_run(tmp_path, "train", "pets", settings={"epochs": 3}, exist_ok=True)
    with pytest.raises(UsageError), nothing_left_on(UsageError, run=run):
        broken_start(run)
    assert {name: (run / name).read_bytes() for name in files(run)} == before
    assert finished(run)


def older_run(folder: Path) -> Path:
    """Write a finished run as versions without a record did: their checksums counted the user's files too."""
    for name in ("args.yaml", "labels.txt", "splits.csv", "weights/best.safetensors", "export/model.onnx", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"epochs: {len(name)}")
    sums = {name: sha256((folder / name).read_bytes()).hexdigest() for name in sorted(files(folder))}
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    return folder


def test_a_finished_run_of_an_older_version_is_started_anew_by_its_checksums(tmp_path: Path) -> None:
    run = older_run(tmp_path / "fit" / "demo")
    with pytest.raises(RunExists, match="--exist-ok"):
        open_run(tmp_path, "fit", "demo", settings={})
    assert ".pocketvision" not in files(run)
    assert open_run(tmp_path, "fit", "demo", settings={"epochs": 2}, exist_ok=True) == run
    with nothing_left_on(UsageError, run=run):
        pass
    assert files(run) == {".pocketvision", "args.yaml", "notes.txt"}


@pytest.mark.parametrize("exist_ok", [True, False])
def test_an_older_run_that_was_changed_is_left_and_said_to_be_one(exist_ok: bool, tmp_path: Path) -> None:
    run = older_run(tmp_path / "fit" / "demo")
    (run / "labels.txt").write_text("written by hand")
    before = files(run)
    with pytest.raises(RunExists, match=r"may be a run of an older version.*move or delete the folder"):
        open_run(tmp_path, "fit", "demo", settings={}, exist_ok=exist_ok)
    assert files(run) == before


def test_the_same_run_is_resumed_however_its_place_and_data_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run("runs", "train", "a", settings={"data": "photos/", "output": "runs", "seed": 1})
    same = {"data": Path("photos"), "output": str(tmp_path / "runs"), "seed": 1}
    assert open_run(tmp_path / "runs", "train", "a", settings=same, resume=True) == tmp_path / run
    with pytest.raises(UsageError, match="data: photos/ then, other now"):
        open_run("runs", "train", "a", settings={**same, "data": "other"}, resume=True)


def test_only_what_the_run_wrote_has_checksums_and_drafts(tmp_path: Path) -> None:
    run = open_run(tmp_path, "train", "pets", settings={})
    write_text(run / "weights" / "best.safetensors", "0")
    (run / "notes.txt").write_text("mine")
    (run / ".notes.txt.7.part").write_text("mine")
    (run / "weights" / ".best.safetensors.7.part").write_text("cut")
    assert open_run(tmp_path, "train", "pets", settings={}, resume=True) == run
    write_checksums(run)
    told = [line.split("  ")[1] for line in (run / "SHA256SUMS").read_text().splitlines()]
    assert told == ["args.yaml", "weights/best.safetensors"]
    assert (run / ".notes.txt.7.part").exists()
    assert not list((run / "weights").glob(".*"))


def test_a_record_that_points_out_of_its_folder_is_not_believed(tmp_path: Path) -> None:
    run = open_run(tmp_path, "train", "pets", settings={})
    outside = tmp_path / "photo.jpg"
    outside.write_text("mine")
    with (run / ".pocketvision").open("a") as stream:
        stream.write(f'\n"../../photo.jpg"\n"{outside}"\n"."\n"cut sho')
    write_text(run / "labels.txt", "cat")
    remove_own(run)
    assert files(tmp_path) == {"photo.jpg"}


@pytest.mark.parametrize("named", [True, False])
def test_of_processes_that_open_one_new_run_each_gets_its_own_or_is_told(named: bool, tmp_path: Path) -> None:
    def start(_: int) -> Path | None:
        try:
            return open_run(tmp_path, "fit", "pets", settings={}, named=named)
        except RunExists:
            return None

    with ThreadPoolExecutor(8) as pool:
        opened = [run for run in pool.map(start, range(16)) if run is not None]
    assert len(opened) == len(set(opened)) == (1 if named else 16)


def test_a_wrong_option_does_not_use_up_the_name(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "base" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    tiny = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "weights": "none"}
    for wrong in ({"epochs": 0}, {"balance": "no"}, {"optimizer": "no"}, {"val": 0.0}, {"batch_size": "no"}):
        for verb in (pocketvision.train, pocketvision.fit):
            with pytest.raises(UsageError) as told:
                verb(tmp_path / "base", **{**tiny, **wrong}, output=tmp_path / "runs", name="one")
            assert not isinstance(told.value, RunExists)
            assert not (tmp_path / "runs").exists(), (verb, wrong)


def test_interrupted_without_a_run_nothing_is_said_of_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pocketvision.runs.opening._BEGUN", [])
    monkeypatch.setattr(pocketvision, "check", interrupt)
    assert command(["check", str(tmp_path)]) == 130
    assert "--resume" not in capsys.readouterr().err
    run = open_run(tmp_path, "fit", "pets", settings={})
    assert command(["check", str(tmp_path)]) == 130
    assert f"{run}: run the same command with --resume" in capsys.readouterr().err


def broken_start(run: Path) -> None:
    write_text(run / "labels.txt", "cat")
    raise UsageError


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
