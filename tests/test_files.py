"""Writing where others have files open, and what a kill leaves."""

from pathlib import Path
from shutil import copytree, rmtree

import pytest

from pocketvision import files
from pocketvision.files import WriteError, mark_own, remove_own, whole_folder, write_text


@pytest.mark.parametrize("refusals", [2, 99])
def test_a_file_that_another_program_has_open_is_waited_for(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, waits = Path.replace, []

    def replace(draft: Path, target: Path) -> Path:
        if len(waits) < refusals:
            raise PermissionError(13, "The process cannot access the file", str(draft))
        return real(draft, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(files.time, "sleep", waits.append)
    if refusals == 2:
        write_text(tmp_path / "results.csv", "1")
        assert (tmp_path / "results.csv").read_text() == "1"
        with whole_folder(tmp_path / "a") as draft:
            draft.mkdir()
        assert (tmp_path / "a").is_dir()
    else:
        with pytest.raises(WriteError) as told:
            write_text(tmp_path / "results.csv", "1")
        assert told.value.filename == str(tmp_path / "results.csv")
        assert sum(waits) < 3
        assert list(tmp_path.iterdir()) == []


def test_a_draft_of_a_folder_that_a_kill_left_goes_with_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    mark_own(run)
    with whole_folder(run / "export" / "model.mlpackage") as draft:
        write_text(draft / "Data" / "model.mlmodel", "half")
        copytree(draft.parent, tmp_path / "left")
    rmtree(run / "export" / "model.mlpackage")
    (tmp_path / "left").rename(run / "export" / ".model.mlpackage.7.part")
    users = run / "export" / ".model.mlpackage.old.part"
    users.mkdir()
    (users / "mine.txt").write_text("mine")
    remove_own(run)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "export", users.name, "mine.txt"]
