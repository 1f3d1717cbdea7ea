"""The model card: hubs can read it, and its program gives the file's answers."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from pocketvision.export.onnx import write
from pocketvision.files import read_json, write_json
from pocketvision.graph.sketch import Sketch
from pocketvision.images.decode import decode
from pocketvision.images.prepare import prepare
from pocketvision.report.card import card, plain, snippet
from pocketvision.report.run import read
from pocketvision.values import ImageSpec, Judged, Manifest, Proof


def front(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))


def test_front_matter_is_what_hubs_expect(fake_run):
    fields = front(card(read(fake_run())))
    assert fields["library_name"] == "pocketvision"
    assert fields["pipeline_tag"] == "image-classification"
    assert fields["license"] == "unknown"
    assert {"onnx", "int8", "mobilenet_v2"} <= set(fields["tags"])
    result = fields["model-index"][0]["results"][0]
    assert result["task"]["type"] == "image-classification"
    assert result["metrics"] == [{"type": "accuracy", "name": "Accuracy", "value": 0.931}]


def test_the_hubs_own_reader_takes_it(fake_run):
    from huggingface_hub import ModelCard

    (result,) = ModelCard(card(read(fake_run()))).data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.931, "test")


def test_the_license_comes_from_the_settings(fake_run):
    run = fake_run()
    with (run / "args.yaml").open("a", encoding="utf-8") as stream:
        stream.write("license: mit\n")
    assert front(card(read(run)))["license"] == "mit"


def test_all_parts_are_there(fake_run):
    text = card(read(fake_run(max_size=500_000)))
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["Data", "Results", "Budget", "Limits: what was not tested", "How to run", "To repeat it"]
    assert "| File size | at most 500 KB | 912 KB (912,448 bytes) | FAIL |" in text
    assert "| delivered file | test | 93.1% | 90.3% to 95.1% | 420 |" in text
    assert "\N{NO-BREAK SPACE}" not in text


@pytest.mark.parametrize("options", [{"budget": False}, {"labels": [f"l{n}" for n in range(150)]}, {"epochs": 1}])
def test_front_matter_parses_in_every_kind_of_run(fake_run, options):
    text = card(read(fake_run(**options)))
    assert front(text)["metrics"] == ["accuracy"]
    assert ("No limit was set." in text) == ("budget" in options)
    assert ("and 100 more" in text) == ("labels" in options)


def test_hostile_names_stay_text(fake_run):
    run = fake_run(labels=("a|b", "**x**", "<b>", "---", "[y](javascript:z)"))
    write_json(run / "args.yaml", {"command": "fit ```\n# no heading"})
    manifest = read_json(Manifest, run / "export" / "manifest.json")
    write_json(run / "export" / "manifest.json", type(manifest)(**{**vars(manifest), "name": "x: y\n---\n# z"}))
    text = card(read(run))
    assert front(text)["model-index"][0]["name"] == "x: y\n---\n# z"
    assert "\n# x: y --- \\# z\n" in text
    assert r"a\|b" in text
    assert "<b>" not in text
    assert "\n````sh\nfit ```\n# no heading\n````" in text


def test_plain_leaves_names_alone_and_escapes_marks():
    assert plain("mobilenet_v2 0.5 @ 160px") == "mobilenet_v2 0.5 @ 160px"
    assert plain("_a_ *b*\n<c>") == r"\_a\_ \*b\* &lt;c&gt;"


SPECS = {
    "squash": ImageSpec(32),
    "crop": ImageSpec(32, crop_mode="crop", crop_pct=0.875),
    "crop all": ImageSpec(32, crop_mode="crop"),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("size", [(97, 60), (33, 71), (20, 20)])
def test_the_cards_program_prepares_a_image_as_training_did(spec, size, tmp_path):
    path = tmp_path / "image.jpg"
    _photo(size).save(path, exif=_turned())
    names: dict[str, object] = {}
    exec(snippet(spec).split('\nwith open("manifest')[0], names)
    np.testing.assert_array_equal(names["prepare"](path), prepare(decode(path), spec))


def test_the_cards_program_runs_beside_the_file(fake_run, tmp_path):
    run = read(fake_run())
    sketch = Sketch(32, seed=5)
    net = sketch.conv("image", 8, kernel=3, stride=2)
    graph = sketch.finish(sketch.linear(sketch.mean(net), len(run.manifest.labels)))
    write(graph, run.manifest, tmp_path / "model.onnx")
    write_json(tmp_path / "manifest.json", run.manifest)
    _photo((50, 40)).save(tmp_path / "image.jpg")
    done = subprocess.run(
        [sys.executable, "-c", snippet(ImageSpec(32))], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    label, share = done.stdout.split()
    assert label in run.manifest.labels
    assert share.endswith("%")


def _photo(size):
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_the_card_says_what_was_judged(fake_run):
    run = fake_run()
    proof = read_json(Proof, run / "verify.json")
    own = Judged("fruit", 900, proof.accuracy.count, "test", True, proof.accuracy.count, 0, 0, 400, 80, 0, 0)
    write_json(run / "verify.json", dataclasses.replace(proof, judged=own))
    text = card(read(run))
    assert "judged on 420 of 900 images in fruit: the test split of the run; 480 were trained or chosen on." in text
    assert "Verification failed" not in text
    other = dataclasses.replace(own, split=None, of_run=0, new=proof.accuracy.count)
    write_json(run / "verify.json", dataclasses.replace(proof, judged=other))
    text = card(read(run))
    assert "**Verification failed:** The figures are of other images than the run's test images" in text
    assert "none of them is known to the run" in text
