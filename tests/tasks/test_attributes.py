"""Several 0/1 attributes an image, from a table to a proven file and what it says of new images."""

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pocketvision
from pocketvision.errors import DataError, UsageError, VerificationFailed
from pocketvision.files import read_json
from pocketvision.runtime import open as open_model
from pocketvision.tasks.attributes.answers import NONE, decide, told
from pocketvision.tasks.attributes.learning import LARGEST_WEIGHT, objective, start_head
from pocketvision.train.objective import Batch
from pocketvision.values import Proof, TaskSpec, Trained
from pocketvision.verbs.verify import verify
from pocketvision.verify.outcome import raise_for

QUICK = {"model": "mobilenet_v1", "width": 0.25, "resolution": 32, "epochs": 20, "device": "cpu", "weights": "none"}
NAMES = ("red", "bright", "green")
SPEC = TaskSpec("attributes", NAMES, (0.5, 0.2, 0.9))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 150 images of which it is known, but for every seventh cell, whether they are red, bright and green."""
    root = tmp_path_factory.mktemp("data") / "colors"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for index in range(150):
        cells = [int(rng.random() < share) for share in (0.5, 0.4, 0.2)]
        pixels = rng.integers(0, 60, (40, 40, 3)).astype(np.int64)
        pixels[..., 0] += 120 * cells[0]
        pixels[..., 1] += 120 * cells[2]
        pixels += 70 * cells[1]
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{index}.png")
        rows.append([f"{index}.png", *["" if (index * 3 + a) % 7 == 0 else cell for a, cell in enumerate(cells)]])
    with (root / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["filename", *NAMES], *rows])
    return root / "table.csv"


@pytest.fixture(scope="module")
def finished(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("runs")
    return pocketvision.fit(table, **QUICK, max_size="300KB", format="onnx,litert", output=runs, name="one")


def test_a_table_and_a_budget_end_in_a_proven_file(finished: Any, table: Path) -> None:
    run = Path(finished.run)
    proof = read_json(Proof, run / "verify.json")
    assert proof.failures == ()
    assert [verdict.passed for verdict in proof.verdicts] == [True]
    assert proof.accuracy.metric == "mean average precision"
    assert proof.accuracy.value > proof.accuracy.others["chance"] + 0.3
    assert [each.name for each in proof.attributes] == list(NAMES)
    assert all(each.low <= (each.average_precision or 0) <= each.high for each in proof.attributes)
    assert proof.confusion == ()
    assert (run / "labels.txt").read_text().split() == list(NAMES)
    header, first, *_ = (run / "splits.csv").read_text().splitlines()
    assert header == "file,attributes,split,sha256"
    assert first.startswith('0.png,",')
    manifest = json.loads((run / "export" / "manifest.json").read_text())
    assert (manifest["task"], len(manifest["thresholds"])) == ("attributes", 3)
    assert read_json(Trained, run / "train.json").task == "attributes"
    other = read_json(Proof, run / "proofs" / "litert" / "verify.json")
    assert other.failures == ()
    assert other.accuracy.value == pytest.approx(proof.accuracy.value, abs=0.05)


def test_page_card_and_use_speak_of_attributes(finished: Any) -> None:
    run = Path(finished.run)
    page = (run / "report.html").read_text(encoding="utf-8")
    card = (run / "model_card.md").read_text(encoding="utf-8")
    use = (run / "export" / "USE.md").read_text(encoding="utf-8")
    assert "Attribute by attribute" in page
    assert "Confusion matrix" not in page
    assert "Mean average precision" in page
    assert "| red |" in card
    assert "mean_average_precision" in card
    assert "argmax" not in card
    assert "own threshold on: red" in " ".join(use.split())
    assert "sum to 1" not in use


def test_the_cards_program_tells_each_attribute(finished: Any, table: Path, tmp_path: Path) -> None:
    code = (Path(finished.run) / "model_card.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "image.jpg").write_bytes((table.parent / "3.png").read_bytes())
    before, out = Path.cwd(), io.StringIO()
    for name in ("manifest.json", "model.onnx"):
        (tmp_path / name).write_bytes((Path(finished.run) / "export" / name).read_bytes())
    os.chdir(tmp_path)
    try:
        with contextlib.redirect_stdout(out):
            exec(code, {})
    finally:
        os.chdir(before)
    (answer,) = pocketvision.predict(tmp_path / "model.onnx", tmp_path / "image.jpg")
    yes = [line.split()[0] for line in out.getvalue().splitlines() if " yes " in line]
    assert (", ".join(yes) or NONE) == answer.label


def test_the_file_is_judged_by_part_of_the_columns_and_in_another_order(finished: Any, table: Path) -> None:
    rows = list(csv.DictReader(table.read_text().splitlines()))
    fewer = table.with_name("fewer.csv")
    with fewer.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["filename", "green", "red"], *([r["filename"], r["green"], r["red"]] for r in rows)]
        )
    whole, part = verify(finished.artefact, table), verify(finished.artefact, fewer)
    assert whole.judged is not None
    assert part.judged is not None
    assert (part.judged.judged, part.judged.trained_on) == (whole.judged.judged, whole.judged.trained_on)
    assert part.failures == ()
    by_name = {each.name: each for each in part.attributes}
    assert by_name["bright"].known == 0
    assert by_name["red"].average_precision == next(a for a in whole.attributes if a.name == "red").average_precision
    with fewer.open("w", newline="") as stream:
        csv.writer(stream).writerows([["filename", "round", "red"], *([r["filename"], 1, r["red"]] for r in rows)])
    with pytest.raises(DataError, match="only in the data: round"):
        verify(finished.artefact, fewer)


def test_exchanged_columns_are_noticed(finished: Any, table: Path) -> None:
    text = table.read_text()
    exchanged = table.with_name("exchanged.csv")
    exchanged.write_text(text.replace("filename,red,bright,green", "filename,bright,green,red"))
    proof = verify(finished.artefact, exchanged)
    assert proof.judged is not None
    assert proof.judged.relabeled > 0
    assert proof.accuracy.value < read_json(Proof, Path(finished.run) / "verify.json").accuracy.value


def test_int8_files_with_integers_at_both_ends_agree(finished: Any, table: Path, tmp_path: Path) -> None:
    pocketvision.export(finished.run, format="litert,c", precision="int8", io="int8", output=tmp_path / "x" / "export")
    file = tmp_path / "x" / "export" / "model.tflite"
    found = open_model(file).run(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))
    np.testing.assert_array_equal(found * 256, np.rint(found * 256))
    assert verify(file, table).accuracy.value > 0.6
    assert "AddLogistic" in (tmp_path / "x" / "export" / "model.h").read_text()


def test_a_changed_file_fails(finished: Any, table: Path, tmp_path: Path) -> None:
    other = pocketvision.train(table, **{**QUICK, "epochs": 1, "seed": 42}, output=tmp_path, name="other")
    made = pocketvision.export(other.run, output=tmp_path / "made")
    proof = verify(made.file, table, trained=Path(finished.run) / "export" / "trained_outputs.npz", split=None)
    assert any("other attributes than the trained net" in sentence for sentence in proof.failures)
    with pytest.raises(VerificationFailed):
        raise_for(proof)


def test_a_student_learns_attributes_and_teachers_of_classes_are_refused(table: Path, tmp_path: Path) -> None:
    quick = {**QUICK, "epochs": 1, "width": 0.125, "output": tmp_path}
    teacher = pocketvision.train(table, **quick, name="teacher")
    student = pocketvision.distill(teacher.run, table, **quick, name="student")
    assert student.trained.task == "attributes"
    assert student.trained.validation.metric == "mean average precision"
    record = json.loads((Path(teacher.run) / "train.json").read_text())
    del record["task"]
    (Path(teacher.run) / "train.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="for the task 'classify', and these images are for 'attributes'"):
        pocketvision.distill(teacher.run, table, **quick, name="again")


def test_what_has_no_meaning_for_attributes_is_refused(table: Path, tmp_path: Path) -> None:
    quick = {**QUICK, "epochs": 1, "output": tmp_path}
    with pytest.raises(UsageError, match="what else nets find has thresholds"):
        pocketvision.fit(table, **quick, abstain="0.7")
    with pytest.raises(UsageError, match="none or weights"):
        pocketvision.train(table, **quick, balance="sampler")


def test_decisions_are_told_by_name() -> None:
    found = decide(np.array([[0.6, 0.1, 0.8], [0.4, 0.3, 0.95], [0.1, 0.1, 0.1]], np.float32), SPEC)
    assert found.told == ("red", "bright, green", NONE)
    assert found.probability == pytest.approx([0.2, 0.3, 0.9])
    assert told((1, None, 0), SPEC) == "red, bright?"
    assert told((0, 0, 0), SPEC) == NONE


def test_unknown_cells_teach_nothing_and_positives_weigh_at_most_ten_times() -> None:
    targets = np.array([[1, -1], *[[0, 0]] * 30, [0, 1]])
    loss, _ = objective(targets, 2, TaskSpec("attributes", ("a", "b")), balance="weights", smoothing=0.0)
    assert loss.positive is not None
    assert loss.positive.tolist() == [LARGEST_WEIGHT, LARGEST_WEIGHT]
    logits = torch.zeros(32, 2, requires_grad=True)
    loss(logits, Batch(torch.zeros(32, 1), torch.from_numpy(targets), torch.arange(32))).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert logits.grad[0, 0] == pytest.approx(10 * -float(logits.grad[1, 0]))
    unknown = Batch(torch.zeros(2, 1), torch.full((2, 2), -1), torch.arange(2))
    assert loss(torch.zeros(2, 2), unknown) == 0
    head = torch.nn.Linear(3, 2)
    start_head(head, targets)
    assert torch.sigmoid(head.bias).tolist() == pytest.approx([1 / 32, 1 / 31], rel=1e-3)
