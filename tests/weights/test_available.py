"""What there is to start from, in the order in which it is looked for, and what a net takes of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.catalogue import build_spec
from pocketvision.progress import Silent
from pocketvision.train.inputs import given_weights, published_weights
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.available import Available, available, load, path_of, start_for
from pocketvision.weights.load import read
from pocketvision.weights.safetensors import save
from pocketvision.weights.sources import sources

SPEC = ModelSpec("mobilenet_v1", 0.25, 64, 3)


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the folder POCKETVISION_WEIGHTS and that of the cache, each empty and this test's own."""
    folder, cache = tmp_path / "folder", tmp_path / "cache"
    folder.mkdir()
    (cache / "weights").mkdir(parents=True)
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(folder))
    monkeypatch.setenv("POCKETVISION_CACHE", str(cache))
    monkeypatch.setattr("pocketvision.weights.available.packaged", lambda source: None)
    monkeypatch.delenv("POCKETVISION_OFFLINE", raising=False)
    return folder, cache / "weights"


def saved(path: Path, spec: ModelSpec = SPEC) -> Path:
    torch.manual_seed(len(path.name))
    save(build_spec(spec), spec, image=ImageSpec(spec.resolution), labels=None, path=path)
    return path


def entry(width: float, resolution: int = 224, *, here: bool = True, depth: int | None = None) -> Available:
    spec = ModelSpec("mobilenet_v2", width, resolution, depth=depth)
    path = Path(f"{width}_{resolution}.tflite") if here else None
    return Available(spec, "folder" if here else "published", path, None, None, None, levels=False)


def test_the_nearest_places_come_first_and_what_can_be_fetched_last(places: tuple[Path, Path]) -> None:
    folder, cache = places
    saved(cache / "b.safetensors")
    saved(folder / "a.safetensors", replace(SPEC, width=0.5))
    found = available(None, offline=False, progress=Silent())
    assert [one.origin for one in found[:2]] == ["folder", "cache"]
    assert [one.spec.width for one in found[:2]] == [0.5, 0.25]
    assert {one.origin for one in found[2:]} == {"published"}
    assert len(found) - 2 == len([source for source in sources() if not source.package])
    assert all(one.path is None and one.source is not None for one in found[2:])


def test_offline_lists_what_is_here_alone(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    saved(places[0] / "a.safetensors")
    assert [one.name for one in available(None, offline=True, progress=Silent())] == ["a.safetensors"]
    monkeypatch.setenv("POCKETVISION_OFFLINE", "1")
    assert [one.name for one in available(None, offline=False, progress=Silent())] == ["a.safetensors"]
    published = Available(SPEC, "published", None, sources()[0], None, None, levels=False)
    with pytest.raises(WeightsError, match="POCKETVISION_OFFLINE"):
        path_of(published, Silent())
    with pytest.raises(WeightsError, match="nothing may be fetched"):
        available(["resnet18"], offline=True, progress=Silent())


def test_a_broken_file_is_left_out_by_name_and_an_error_where_it_was_asked_for(places: tuple[Path, Path]) -> None:
    broken, told = places[0] / "broken.safetensors", Told()
    broken.write_bytes(b"nothing of the kind")
    saved(places[0] / "whole.safetensors")
    assert [one.name for one in available(None, offline=True, progress=told)] == ["whole.safetensors"]
    assert [line for line in told.lines if line.startswith("left out: broken.safetensors: ")]
    with pytest.raises(WeightsError, match=r"broken\.safetensors"):
        available([broken], offline=True, progress=Silent())


def test_a_file_is_read_once_and_again_when_it_changes(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads = saved(places[0] / "a.safetensors"), []
    monkeypatch.setattr("pocketvision.weights.available.read", lambda path: reads.append(path) or read(path))
    for _ in range(3):
        assert available([path], offline=True, progress=Silent())[0].spec == SPEC
    assert reads == [path]
    saved(path, replace(SPEC, width=0.5))
    assert available([path], offline=True, progress=Silent())[0].spec.width == 0.5
    assert reads == [path, path]


def test_what_is_asked_for_is_all_there_is(places: tuple[Path, Path]) -> None:
    first, second = saved(places[0] / "a.safetensors"), saved(places[1] / "b.safetensors")
    assert [one.path for one in available([second], offline=False, progress=Silent())] == [second]
    assert [one.path for one in available([str(second), first], offline=False, progress=Silent())] == [second, first]
    assert available("none", offline=False, progress=Silent()) == ()
    (named,) = available("resnet18", offline=False, progress=Silent())
    assert (named.origin, named.path, named.spec.name) == ("given", None, "resnet18")
    assert load(available([first], offline=True, progress=Silent())[0], Silent()).spec == SPEC


def test_fetching_is_said_with_its_bytes_before(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    told, source = Told(), next(source for source in sources() if source.size_bytes and source.url)
    one = Available(SPEC, "published", None, source, source.size_bytes, None, levels=False)
    monkeypatch.setattr("pocketvision.weights.available.fetch", lambda source, progress: Path(source.file))
    assert path_of(one, told) == Path(source.file)
    assert f"{source.size_bytes:,} bytes" in told.lines[0]


@pytest.mark.parametrize(
    ("spec", "kind", "width"),
    [
        (ModelSpec("mobilenet_v2", 0.5), "own", 0.5),
        (ModelSpec("mobilenet_v2", 0.5, depth=9), "cut", 0.5),
        (ModelSpec("mobilenet_v2", 0.35), "sliced", 0.5),
        (ModelSpec("mobilenet_v2", 0.75, depth=9), "sliced", 1.0),
        (ModelSpec("mobilenet_v2", 1.4), "scratch", None),
        (ModelSpec("mobilenet_v1", 0.5), "scratch", None),
    ],
)
def test_a_net_starts_from_the_nearest_width_above(spec: ModelSpec, kind: str, width: float | None) -> None:
    start = start_for(spec, [entry(1.0), entry(0.5)])
    assert start.kind == kind
    assert (start.weights.spec.width if start.weights else None) == width


def test_of_equal_widths_those_at_hand_and_then_the_nearest_resolution_are_taken() -> None:
    found = [entry(1.0, 96), entry(1.0, 224), entry(1.0, 128, here=False)]
    assert start_for(ModelSpec("mobilenet_v2", 1.0, 128), found).weights == found[0]
    assert start_for(ModelSpec("mobilenet_v2", 1.0, 192), found).weights == found[1]


def test_cut_weights_serve_shallower_nets_only() -> None:
    found = [entry(1.0, depth=9)]
    assert start_for(ModelSpec("mobilenet_v2", 1.0, depth=9), found).kind == "own"
    assert start_for(ModelSpec("mobilenet_v2", 1.0, depth=5), found).kind == "cut"
    assert start_for(ModelSpec("mobilenet_v2", 1.0), found).kind == "scratch"


def test_a_family_whose_channels_cannot_be_told_apart_is_not_sliced() -> None:
    wide = Available(ModelSpec("googlenet"), "folder", Path("x.pth"), None, None, None, levels=False)
    assert start_for(ModelSpec("googlenet"), [wide]).kind == "own"
    assert start_for(ModelSpec("googlenet", 0.5), [wide]).kind == "scratch"


def test_training_finds_weights_on_this_machine_before_it_fetches(places: tuple[Path, Path]) -> None:
    wide, told = saved(places[0] / "a.safetensors", replace(SPEC, width=0.5)), Told()
    found, origin = published_weights(replace(SPEC, width=0.2), None, told, offline=True)
    assert (found is not None, origin) == (True, wide.name)
    assert published_weights(ModelSpec("resnet18"), None, told, offline=True) == (None, "from scratch")
    assert "from scratch" in told.lines[-1]
    assert published_weights(SPEC, "none", told) == (None, "from scratch")


def test_one_training_takes_one_file(places: tuple[Path, Path]) -> None:
    first, second = saved(places[0] / "a.safetensors"), saved(places[1] / "b.safetensors")
    found = given_weights([first], offline=True)
    assert found is not None
    assert found.spec == SPEC
    assert given_weights("none") is None
    with pytest.raises(UsageError, match="give --weights once"):
        given_weights([first, second])
