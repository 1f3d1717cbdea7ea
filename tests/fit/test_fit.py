"""The whole chain on small real images: every stage, its files, its exit codes, kills and resumes, odd folders."""

import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.errors import BudgetMissed, DataError, MissingExtra, RunExists, UsageError
from pocketvision.export import PACKAGES, PROVERS
from pocketvision.files import read_json
from pocketvision.values import Choice, Compression, Proof, Trained

QUICK = {"model": "mobilenet_v1", "width": 0.25, "resolution": 32, "weights": "none", "epochs": 20, "device": "cpu"}
FAST_OPTIONS = [
    "--model",
    "mobilenet_v1",
    "--width",
    "0.125",
    "--resolution",
    "32",
    "--weights",
    "none",
    "--epochs",
    "2",
]


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of images that even three epochs can tell apart."""
    root = tmp_path_factory.mktemp("data") / "colors"
    dice = np.random.default_rng(0)
    for label, place in (("1 red", 0), ("2 grün", 1), ("10 blue", 2)):
        (root / label).mkdir(parents=True)
        for index in range(40):
            pixels = dice.integers(0, 110, (36, 48, 3), np.uint8)
            pixels[..., place] = dice.integers(160, 256, (36, 48), np.uint8)
            Image.fromarray(pixels).save(root / label / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def finished(colors: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return pocketvision.fit(colors, **QUICK, output=tmp_path_factory.mktemp("runs"), name="one")


def cli(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    order = [sys.executable, "-m", "pocketvision", *map(str, words)]
    return subprocess.run(order, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})


def test_the_run_holds_everything(finished: Any) -> None:
    run = Path(finished.run)
    expected = {
        ".pocketvision", "args.yaml", "check.json", "choice.json", "compress.json", "export/USE.md", "export/cost.json",
        "export/manifest.json",
        "export/model.onnx", "export/trained_outputs.npz", "labels.txt", "model_card.md", "report.html",
        "results.csv", "SHA256SUMS", "splits.csv", "summary.json", "train.json", "verify.json",
        "weights/best.safetensors", "weights/last.safetensors",
    }  # fmt: skip
    assert {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} == expected
    assert (run / "labels.txt").read_text(encoding="utf-8") == "1 red\n2 grün\n10 blue\n"
    lines = [line.split("  ") for line in (run / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == expected - {".pocketvision", "SHA256SUMS"}
    for digest, name in lines:
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest


def test_the_file_is_right_and_proven(finished: Any) -> None:
    proof = read_json(Proof, Path(finished.run) / "verify.json")
    assert finished.test_accuracy == proof.accuracy.value >= 0.8
    assert proof.agreement is not None
    assert proof.agreement.same_answer >= 0.95
    assert not proof.failures
    assert finished.size_bytes == Path(finished.artefact).stat().st_size
    assert len(proof.answers) == proof.accuracy.count == sum(map(sum, proof.confusion))
    assert proof.judged is not None
    assert (proof.judged.given, proof.judged.split, proof.judged.known) == (120, "test", True)
    assert proof.judged.of_run == proof.judged.judged == proof.agreement.count == proof.accuracy.count
    assert "judged on " in (Path(finished.run) / "model_card.md").read_text(encoding="utf-8")


def test_every_candidate_has_a_reason(finished: Any) -> None:
    choice = read_json(Choice, Path(finished.run) / "choice.json")
    assert [item.status for item in choice.candidates].count("taken") == 1
    assert all(item.reason for item in choice.candidates)
    assert choice.considered >= choice.kept >= len(choice.shortlist) == 1
    assert choice.taken.start == "scratch"
    assert choice.probed == ()


def test_weights_are_cut_and_the_best_of_several_is_delivered(finished: Any, colors: Path, tmp_path: Path) -> None:
    start = Path(finished.run) / "weights" / "best.safetensors"
    words = {"weights": start, "resolution": 32, "epochs": 1, "batch_size": 64, "max_size": "150KB", "device": "cpu"}
    summary = pocketvision.fit(colors, **words, output=tmp_path)
    choice = read_json(Choice, Path(summary.run) / "choice.json")
    assert choice.considered > 100
    assert len(choice.shortlist) > 1
    assert {one.origin for one in choice.candidates} == {"best.safetensors"}
    assert {one.start for one in choice.shortlist} <= {"own", "cut", "sliced"}
    assert {one.origin for one in choice.probed} == {"best.safetensors"}
    tried = [one for one in choice.candidates if one.status in ("taken", "trained")]
    assert len(tried) == 2
    assert all(one.validation for one in tried)
    assert summary.model == choice.taken.spec
    assert summary.size_bytes <= 150_000
    assert all(one.size_bytes <= 150_000 for one in choice.shortlist)
    assert Path(summary.run, "choice.json").stat().st_size < 200_000
    assert summary.model.dials in Path(summary.report).read_text(encoding="utf-8")


def test_a_candidate_weighs_what_the_file_weighs(finished: Any) -> None:
    taken = read_json(Choice, Path(finished.run) / "choice.json").taken
    record = read_json(Compression, Path(finished.run) / "compress.json")
    delivered = {variant.precision: variant.size_bytes for variant in record.variants}
    assert taken.size_bytes == pytest.approx(delivered[taken.precision], rel=0.01)


def test_both_precisions_were_judged(finished: Any) -> None:
    record = read_json(Compression, Path(finished.run) / "compress.json")
    assert {variant.precision for variant in record.variants} == {"float", "int8"}
    assert record.taken == finished.precision
    assert record.reason


def test_the_same_command_gives_the_same_weights_in_every_format(colors: Path, finished: Any, tmp_path: Path) -> None:
    again = pocketvision.fit(colors, **QUICK, output=tmp_path, name="two", format="litert,c")
    first, second = (Path(run.run, "weights/best.safetensors").read_bytes() for run in (finished, again))
    assert first == second
    proof = json.loads(Path(again.run, "proofs", "litert", "verify.json").read_text(encoding="utf-8"))
    assert proof["file"].endswith("export/model.tflite")
    assert proof["latency"]["runtime"].startswith("LiteRT")
    assert proof["failures"] == []
    assert [(one.file, one.size_bytes) for one in again.further] == [(proof["file"], proof["size_bytes"])]
    assert [one.limit for one in again.further[0].verdicts] == [one.limit for one in again.verdicts]
    assert again.artefact.endswith("model.onnx")
    assert Path(again.run, "export", "model.c").is_file() == (again.precision == "int8")
    page = Path(again.run, "report.html").read_text(encoding="utf-8")
    assert "The same net in each format" in page
    assert '<th scope="row">model.tflite</th>' in page
    assert "The same net in each format" not in Path(finished.report).read_text(encoding="utf-8")


@pytest.mark.parametrize(("needed", "name"), [(PACKAGES, "coreml"), (PROVERS, "litert")])
def test_a_format_whose_package_is_absent_is_refused_before_training(
    colors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: dict[str, str], name: str
) -> None:
    monkeypatch.setitem(needed, name, "no_such_package")
    with pytest.raises(MissingExtra, match=rf"pocketvision\[{name}\]"):
        pocketvision.fit(colors, **QUICK, output=tmp_path, format=f"onnx,{name}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "precision", "reason"),
    [
        ("onnx,c", "float", "c files hold int8, not float"),
        ("onnx,coreml", "palette4", "--format coreml$"),
        ("onnx,executorch", "float16", "float or int8, not float16"),
    ],
)
def test_a_format_that_cannot_hold_the_precision_leaves_no_file(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, precision: Any, reason: str
) -> None:
    for name in tuple(PACKAGES):
        monkeypatch.delitem(PACKAGES, name)
    with pytest.raises(UsageError, match=reason):
        pocketvision.export(finished.run, format=format, precision=precision, output=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_file_names_labels_through_predict(finished: Any, colors: Path) -> None:
    answers = pocketvision.predict(finished.artefact, [colors / "2 grün" / "3.png"])
    assert answers[0].label in {"1 red", "2 grün", "10 blue"}
    assert {name for name, _ in answers[0].top} == {"1 red", "2 grün", "10 blue"}


def test_a_table_is_proven_by_its_own_labels(colors: Path, tmp_path: Path) -> None:
    """The folders that the images lie in say something else, and some images cannot be used."""
    rows, other = ["filename,label"], ["filename,label"]
    for index, folder in enumerate(("b", "a", "a")):
        for number in range(12):
            file = tmp_path / "photos" / folder / f"{index}-{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes((colors / ("1 red", "2 grün", "10 blue")[index] / f"{number}.png").read_bytes())
            label, wrong = ("cat", "dog", "dog")[index], ("dog", "cat", "cat")[index]
            rows.append(f"{folder}/{file.name},{label}")
            other.append(f"{folder}/{file.name},{wrong}")
    (tmp_path / "photos" / "a" / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "photos" / "a" / "copy.png").write_bytes((tmp_path / "photos" / "a" / "1-0.png").read_bytes())
    table = tmp_path / "photos" / "labels.csv"
    table.write_text("\n".join([*rows, "a/broken.png,dog", "a/copy.png,dog"]), encoding="utf-8")
    summary = pocketvision.fit(table, **{**QUICK, "epochs": 2}, output=tmp_path / "runs", name="one")
    proof = read_json(Proof, Path(summary.run) / "verify.json")
    assert proof.labels == ("cat", "dog")
    assert proof.judged is not None
    assert (proof.judged.given, proof.judged.repeated, proof.judged.of_run) == (38, 1, proof.accuracy.count)
    assert proof.unreadable == ()
    again = pocketvision.verify(summary.artefact, table)
    assert (again.accuracy, again.answers) == (proof.accuracy, proof.answers)
    assert again.unreadable == ("a/broken.png",)
    table.write_text("\n".join(other), encoding="utf-8")
    exchanged = pocketvision.verify(summary.artefact, table)
    assert exchanged.judged is not None
    assert exchanged.judged.relabeled == exchanged.accuracy.count == 36


def test_verify_judges_the_file_again(finished: Any, colors: Path) -> None:
    done = cli("verify", finished.artefact, colors, "--max-size", "1MB", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdicts"][0]["passed"]
    done = cli("verify", finished.artefact, colors, "--max-size", "1KB")
    assert done.returncode == 3
    assert "FAIL max_size" in done.stdout


def test_export_writes_the_other_precision(finished: Any, tmp_path: Path) -> None:
    sizes = {
        precision: pocketvision.export(finished.run, precision=precision, output=tmp_path, name=precision).size_bytes
        for precision in ("float", "int8")
    }
    assert sizes["int8"] < sizes["float"] / 2
    assert (tmp_path / "int8.onnx").stat().st_size == sizes["int8"]


@pytest.mark.parametrize("precision", ["float", "float16", "int8"])
def test_export_writes_the_same_net_in_both_formats(
    finished: Any, colors: Path, tmp_path: Path, precision: Any
) -> None:
    written = pocketvision.export(finished.run, format="onnx,litert", precision=precision, output=tmp_path)
    files = [each.file for each in (written, *written.others)]
    assert [Path(file).name for file in files] == ["model.onnx", "model.tflite"]
    first, second = ([answer.top for answer in pocketvision.predict(file, [colors])] for file in files)
    labels = [[top[0][0] for top in answers] for answers in (first, second)]
    assert labels[0] == labels[1]
    outputs = Path(finished.run, "export", "trained_outputs.npz")
    proof = pocketvision.verify(files[1], colors, trained=outputs)
    assert proof.failures == ()
    assert proof.latency.runtime.startswith("LiteRT")
    assert [each.file for each in pocketvision.bench(files)] == files


def test_the_same_net_is_the_same_bytes_at_any_time(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2026-01-01", "2027-01-01"):
        monkeypatch.setattr(importlib.import_module("pocketvision.export.manifest"), "_now", lambda day=day: day)
        assert pocketvision.export(finished.run, output=tmp_path / day).manifest.created == day
    first, second = (tmp_path / day / "model.onnx" for day in ("2026-01-01", "2027-01-01"))
    assert first.read_bytes() == second.read_bytes()


def test_the_report_can_be_written_again(finished: Any, tmp_path: Path) -> None:
    page = pocketvision.report(finished.run, output=tmp_path)
    assert "2 grün" in page.read_text(encoding="utf-8")


def test_a_run_is_never_overwritten_by_accident(finished: Any, colors: Path) -> None:
    output = Path(finished.run).parents[1]
    with pytest.raises(RunExists, match="--resume"):
        pocketvision.fit(colors, **QUICK, output=output, name="one")
    with pytest.raises(UsageError, match="epochs: 20 then, 4 now"):
        pocketvision.fit(colors, **{**QUICK, "epochs": 4}, output=output, name="one", resume=True)
    half = Path(finished.run) / "weights" / ".checkpoint.safetensors.1.part"
    half.write_bytes(b"cut")
    assert pocketvision.fit(colors, **QUICK, output=output, name="one", resume=True) == finished
    assert not half.exists()


def test_a_budget_that_cannot_be_kept_leaves_no_run(colors: Path, tmp_path: Path) -> None:
    done = cli("fit", colors, *FAST_OPTIONS, "--max-size", "9KB", "--output", tmp_path / "runs")
    assert done.returncode == 3
    assert "Nearest:" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missed_accuracy_exits_3_with_the_finished_run(colors: Path, tmp_path: Path) -> None:
    words = ["--lr", "0.0000001", "--min-accuracy", "99%", "--output", tmp_path, "--json"]
    done = cli("fit", colors, *FAST_OPTIONS, *words)
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    assert [verdict["passed"] for verdict in summary["verdicts"]] == [False]
    assert Path(summary["report"]).exists()
    assert "Nearest feasible" in done.stderr
    done = cli("fit", colors, *FAST_OPTIONS, *words, "--resume")
    assert done.returncode == 3
    assert json.loads(done.stdout) == summary


def test_json_is_one_object_and_nothing_else(colors: Path, tmp_path: Path) -> None:
    done = cli("fit", colors, *FAST_OPTIONS, "--max-size", "200KB", "--output", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    wanted = {"artefact", "test_accuracy", "interval", "size_bytes", "latency_ms", "verdicts", "run"}
    assert wanted <= set(summary)
    assert summary["verdicts"][0]["passed"]
    done = cli("predict", summary["artefact"], colors / "1 red", "--json")
    answers = json.loads(done.stdout)
    assert len(answers) == 40
    assert {"file", "label", "probability", "top"} <= set(answers[0])


@pytest.mark.parametrize("wait", [0.5, 3.0, 4.5, 6.0, 8.0])
def test_killed_at_any_moment_it_resumes_to_a_finished_run(colors: Path, tmp_path: Path, wait: float) -> None:
    words = ["fit", colors, *FAST_OPTIONS, "--epochs", "30", "--output", tmp_path, "--name", "k"]
    running = subprocess.Popen(
        [sys.executable, "-m", "pocketvision", *map(str, words)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    time.sleep(wait)
    running.send_signal(signal.SIGKILL)
    running.wait()
    started = (tmp_path / "fit" / "k" / "args.yaml").exists()
    done = cli(*words, *(["--resume"] if started else []), "--json")
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run"])
    assert read_json(Trained, run / "train.json").epochs <= 30
    assert (run / "SHA256SUMS").exists()
    assert not list(run.rglob("*checkpoint*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_says_how_to_go_on(colors: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    words = ["fit", str(colors), *FAST_OPTIONS, "--epochs", "200", "--output", str(tmp_path)]
    running = subprocess.Popen(
        [sys.executable, "-m", "pocketvision", *words],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and their children would too.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509
    )
    for _ in range(600):
        time.sleep(0.1)
        if list(tmp_path.rglob("checkpoint.safetensors")):
            break
    running.send_signal(number)
    _, told = running.communicate(timeout=60)
    assert running.returncode == code
    assert "--resume" in told
    assert "Traceback" not in told


def odd_files(root: Path) -> dict[str, str]:
    """Put thirty broken and odd files among good ones; say which must be named, and as what."""
    red = root / "1 red"
    good = (red / "0.png").read_bytes()
    dice = np.random.default_rng(1)
    image = Image.fromarray(dice.integers(0, 256, (40, 40, 3), np.uint8))
    told: dict[str, str] = {}
    for index in range(5):
        (red / f"cut{index}.png").write_bytes(good[: 60 + index])
        (red / f"text{index}.jpg").write_text(f"no image {index}")
        (red / f"empty{index}.png").write_bytes(b"")
        told |= {f"1 red/cut{index}.png": "unreadable", f"1 red/text{index}.jpg": "unreadable"}
        told[f"1 red/empty{index}.png"] = "empty file"
        image.putpixel((0, 0), (index, 0, 0))
        image.save(red / f"lie{index}.jpg", "PNG")
        told[f"1 red/lie{index}.jpg"] = "suffix"
    for index, mode in enumerate(("L", "LA", "RGBA", "P", "1", "CMYK")):
        suffix = "tif" if mode == "CMYK" else "png"
        image.convert(mode).save(root / "2 grün" / f"odd mode ünï {index}.{suffix}")
    image.resize((1, 1)).save(root / "2 grün" / "dot.bmp")
    image.resize((900, 3)).save(root / "2 grün" / "thread.webp")
    frames = [image, image.rotate(90)]
    image.save(root / "10 blue" / "moving.gif", save_all=True, append_images=frames)
    told["10 blue/moving.gif"] = "animated"
    (root / "10 blue" / "notes.txt").write_text("remember the milk")
    told["10 blue/notes.txt"] = "not an image"
    return told


def test_thirty_odd_files_are_listed_and_stop_nothing(colors: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "odd"
    shutil.copytree(colors, root)
    told = odd_files(root)
    assert len(list(root.rglob("*.*"))) - 120 == 30
    summary = pocketvision.fit(root, **{**QUICK, "epochs": 2}, output=tmp_path / "runs")
    found = json.loads((Path(summary.run) / "check.json").read_text())["problems"]
    kinds = {problem["file"]: problem["kind"] for problem in found}
    assert told.items() <= kinds.items()
    page = Path(summary.report).read_text(encoding="utf-8")
    assert all(name.split("/")[1] in page for name in told)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "(?i)no|empty"),
        (lambda root: (root / "only").mkdir(parents=True), "no image"),
    ],
)
def test_unusable_folders_leave_no_run(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "photos")
    with pytest.raises(DataError, match=message):
        pocketvision.fit(tmp_path / "photos", **QUICK, output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_wishes_that_contradict_the_weights_are_refused(finished: Any, colors: Path, tmp_path: Path) -> None:
    start = Path(finished.run) / "weights" / "best.safetensors"
    with pytest.raises(UsageError, match="leave --model, --width and --depth away"):
        pocketvision.fit(colors, model="mobilenet_v2", weights=start, output=tmp_path)


def test_our_own_weights_start_another_run(finished: Any, colors: Path, tmp_path: Path) -> None:
    start = Path(finished.run) / "weights" / "best.safetensors"
    result = pocketvision.train(colors, weights=start, resolution=32, epochs=2, output=tmp_path)
    assert result.trained.start == "best.safetensors"
    assert result.trained.validation.value >= 0.8


@pytest.mark.slow
def test_the_demo_keeps_its_promise(tmp_path: Path) -> None:
    summary = pocketvision.fit("digits", max_size="200KB", output=tmp_path)
    assert summary.size_bytes <= 200_000
    assert summary.test_accuracy >= 0.97
    with pytest.raises(BudgetMissed):
        pocketvision.fit("digits", max_size="5KB", output=tmp_path)
