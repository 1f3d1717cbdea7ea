"""A run's default name: whatever the data are called, it is a folder's name that a run can be opened under."""

from pathlib import Path

import pytest

from pocketvision.runs import finished, name_for, open_run


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
    for name in (*written, "model.mlpackage/Data/model.mlmodel", "model.mlpackage/Data/weights/weight.bin", "mine.odt"):
        path = run / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
    assert open_run(tmp_path, "fit", "pets", settings={}, exist_ok=True) == run
    assert sorted(path.name for path in run.rglob("*")) == ["args.yaml", "export", "mine.odt"]
