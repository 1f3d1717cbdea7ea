"""Several files at once: each proven, each against the others, with and without images."""

import importlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketvision.runtime
from pocketvision.cli.app import run
from pocketvision.errors import BudgetMissed, DataError, MissingExtra, UsageError, VerificationFailed
from pocketvision.runtime import open as open_model
from pocketvision.verbs.verify import verify
from pocketvision.verify.outcome import raise_for_all
from pocketvision.verify.robustness import check_robustness, encodings


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only: what is tested here is what becomes of the times."""
    timing = importlib.import_module("pocketvision.verify.timing")
    monkeypatch.setattr(timing, "measure", partial(timing.measure, visits=1, visit_ms=1))


def test_the_same_net_twice_agrees_on_every_image(toy: Any, tmp_path: Path) -> None:
    files = [toy.file, toy.deliver(tmp_path)]
    found = verify(files, toy.dataset)
    assert [one.proof.accuracy for one in found.files if one.proof] == [verify(toy.file, toy.dataset).accuracy] * 2
    (pair,) = found.pairs
    assert (pair.agreement.same_answer, pair.agreement.largest_gap) == (1, 0)
    assert pair.agreement.count == len(toy.dataset.of("test"))
    for one in found.files:
        assert one.loading is not None
        assert one.loading.load_ms > 0
        assert 1e6 < one.loading.peak_bytes < 1e9
    raise_for_all(found)


def test_another_net_shows_in_the_pair_and_fails(toy: Any, tmp_path: Path) -> None:
    turned = toy.deliver(tmp_path, graph=toy.with_linear(3 * np.roll(np.eye(3, dtype=np.float32), 1, axis=0)))
    found = verify([toy.file, turned], toy.dataset)
    assert found.pairs[0].agreement.same_answer < 0.1
    assert not found.files[0].failures
    assert found.files[1].failures
    with pytest.raises(VerificationFailed, match=str(turned)):
        raise_for_all(found)


def test_a_limit_counts_for_every_file(toy: Any) -> None:
    with pytest.raises(BudgetMissed, match="max_size"):
        raise_for_all(verify([toy.file], toy.dataset, max_size="10B"))


def test_without_images_files_answer_to_their_probes_and_to_odd_images(toy: Any, tmp_path: Path) -> None:
    found = verify([toy.file, toy.deliver(tmp_path)])
    assert [one.proof for one in found.files] == [None, None]
    assert all(one.latency is not None and one.probe_gap < 1e-3 and not one.failures for one in found.files)
    assert found.pairs[0].agreement.count == len(found.files[0].robustness)
    wrong = toy.deliver(tmp_path / "wrong", graph=toy.with_linear(-3 * np.eye(3, dtype=np.float32)))
    with pytest.raises(VerificationFailed, match="probes"):
        raise_for_all(verify([wrong]))
    with pytest.raises(UsageError, match="give the data"):
        verify([toy.file], max_size="1MB")
    with pytest.raises(UsageError, match="give the images"):
        verify(toy.file, None)  # type: ignore[call-overload]


def test_files_with_other_probes_are_compared_on_one_image(toy: Any, tmp_path: Path) -> None:
    other = toy.deliver(tmp_path, manifest=replace(toy.manifest, probes=toy.manifest.probes[::-1]))
    labels = [check_robustness(open_model(file)).answers[0].label for file in (toy.file, other)]
    assert labels[0] != labels[1]
    found = verify([toy.file, other])
    assert found.pairs[0].agreement.same_answer == 1
    assert found.pairs[0].agreement.largest_gap == 0


def test_one_image_stored_in_many_ways_has_one_answer(toy: Any) -> None:
    found = check_robustness(open_model(toy.file))
    kinds = {one.kind: one for one in found.answers}
    assert len(kinds) == 10
    for kind in ("plain JPEG", "turned by EXIF", "CMYK", "palette", "alpha channel", "animated", "20 megapixels"):
        assert kinds[kind].as_plain, kind
    assert kinds["grey"].label in toy.manifest.labels
    assert kinds["1 pixel wide"].error is None
    assert kinds["truncated"].label == ""
    assert "damaged" in (kinds["truncated"].error or "")
    bare = dict(encodings(replace(toy.manifest, probes=())))
    assert bare.keys() == kinds.keys()


def test_a_runtime_that_is_not_installed_is_said_and_stops_nothing(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "model.other"
    other.write_bytes(toy.file.read_bytes())

    def refuse(path: Path, *, threads: int) -> None:
        raise MissingExtra("otherruntime", "other")

    monkeypatch.setitem(pocketvision.runtime.RUNTIMES, ".other", f"{__name__}:refuse")
    monkeypatch.setitem(globals(), "refuse", refuse)
    found = verify([toy.file, other], toy.dataset)
    assert found.files[0].proof is not None
    assert "otherruntime" in found.files[1].unchecked
    assert found.pairs == ()


def test_no_file_and_a_missing_file_are_errors() -> None:
    with pytest.raises(DataError, match="at least one"):
        verify([], "digits")
    with pytest.raises(DataError, match=r"no file nothing\.onnx"):
        verify(["nothing.onnx"], "digits")


def test_the_command_takes_files_with_and_without_images(
    toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = toy.deliver(tmp_path)
    assert run(["verify", str(toy.file), str(other), str(toy.data)]) == 0
    table = capsys.readouterr().out
    assert "1 and 2: 100.0% the same answer" in table
    assert "turned by EXIF" in table
    assert run(["verify", str(toy.file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["proof"] is None
    assert run(["verify", str(toy.file), str(toy.data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["count"] == len(toy.dataset.of("test"))
