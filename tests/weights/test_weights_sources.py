"""Where published weights come from: the list, and fetching from a server on this machine."""

import hashlib
import importlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pocketvision.errors import UnknownName, WeightsError
from pocketvision.models import published
from pocketvision.weights import fetch, find, sources

module = importlib.import_module("pocketvision.weights.sources")
CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/whole.pth": CONTENT, "/cut.pth": CONTENT[:1000], "/other.pth": b"something else"}.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(CONTENT if self.path == "/cut.pth" else body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("X-Linked-Etag", f'"{"no digest" if self.path == "/other.pth" else DIGEST}"')
        self.end_headers()

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))
    monkeypatch.delenv("POCKETVISION_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "weights"


def source(url, sha256=DIGEST[:8]):
    return replace(sources()[0], url=url, sha256=sha256, file=url.rpartition("/")[2])


class Steps:
    def __init__(self):
        self.total, self.done = 0, 0

    def say(self, text):
        pass

    def bar(self, title, total):
        self.total = total
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def advance(self, steps=1, *, note=""):
        self.done += steps


def test_a_file_is_fetched_once_and_checked(address, folders, monkeypatch):
    steps = Steps()
    path = fetch(source(f"{address}/whole.pth"), progress=steps)
    assert path == folders / "whole.pth"
    assert path.read_bytes() == CONTENT
    assert (steps.done, steps.total) == (len(CONTENT), len(CONTENT))
    monkeypatch.setattr(module, "download", None)
    assert fetch(source(f"{address}/whole.pth")) == path
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="is not the published file; delete it"):
        fetch(source(f"{address}/whole.pth"))


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("other.pth", r"did not arrive as published; try again \(sha256 "),
        ("cut.pth", r"arrived cut short: 1000 of 768000 bytes"),
        ("none.pth", r"cannot fetch none.pth from 127.0.0.1:\d+ \(.*Not Found\); .* --weights FILE"),
    ],
)
def test_nothing_wrong_is_kept(address, folders, *, page, message):
    with pytest.raises(WeightsError, match=message):
        fetch(source(f"{address}/{page}"))
    assert not folders.exists() or not list(folders.iterdir())


def test_too_large_a_file_is_refused(address, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DOWNLOAD", 500_000)
    with pytest.raises(WeightsError, match="larger than"):
        fetch(source(f"{address}/whole.pth"))


def test_without_a_network_one_line_says_what_to_do():
    with pytest.raises(WeightsError) as caught:
        fetch(source("http://127.0.0.1:9/mobilenet_v2.pth"))
    assert "\n" not in str(caught.value)
    assert "pass it with --weights FILE" in str(caught.value)


def test_a_local_folder_is_looked_at_first(address, monkeypatch, tmp_path):
    local = tmp_path / "mine"
    local.mkdir()
    (local / "whole.pth").write_bytes(CONTENT)
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(local))
    monkeypatch.setattr(module, "download", None)
    assert fetch(source("http://127.0.0.1:9/whole.pth")) == local / "whole.pth"


def hub_source(address, page, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda repo, file: f"{address}/{page}")
    return replace(find("mobilenet_v1", 1.0), file="net.safetensors")


def test_a_hub_file_is_checked_against_the_hubs_digest(address, folders, monkeypatch):
    path = fetch(hub_source(address, "whole.pth", monkeypatch))
    assert path == folders / "net.safetensors"
    assert path.read_bytes() == CONTENT


def test_a_hub_file_that_differs_from_its_digest(address, monkeypatch):
    wrong = hub_source(address, "whole.pth", monkeypatch)
    monkeypatch.setattr(module, "download", lambda url, *, file, progress: b"else")
    with pytest.raises(WeightsError, match="did not arrive as published"):
        fetch(wrong)


def test_a_hub_without_digest_or_network(address, monkeypatch):
    with pytest.raises(WeightsError, match="names no sha256"):
        fetch(hub_source(address, "other.pth", monkeypatch))
    with pytest.raises(WeightsError, match="pass it with --weights FILE"):
        fetch(hub_source("http://127.0.0.1:9", "whole.pth", monkeypatch))


def test_the_list_is_sound():
    assert len({entry.file for entry in sources()}) == len(sources())
    nets = {(line.name, line.width) for line in published()}
    for entry in sources():
        assert (entry.name, entry.width) in nets
        assert (entry.url is None) != (entry.repo is None)
        assert 30 < entry.top1 < entry.top5 < 100
        assert entry.image.crop_mode == "crop"
        if entry.url:
            assert len(entry.sha256) in (8, 64)
            assert entry.url.startswith("https://")
        if entry.layout == "torchvision":
            # torchvision names its files after the first digits of their digest.
            assert entry.file.endswith(f"-{entry.sha256}.pth")
        assert entry.page.endswith((".pth", ".safetensors", ".tflite"))


def test_digests_of_the_tflite_files_are_those_of_the_real_ones(shared_weights):
    checked = 0
    for entry in sources():
        if entry.layout == "tflite":
            content = (shared_weights / entry.file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry.sha256
            checked += 1
    assert checked == 3


def test_find_gives_the_preferred_source_or_none():
    assert find("mobilenet_v2", 1.0).file == "mobilenet_v2-b0353104.pth"
    assert find("mobilenet_v2", 0.5).repo == "timm/mobilenetv2_050.lamb_in1k"
    assert find("mobilenet_v1", 0.25).image.resolution == 128
    assert find("mobilenet_v2", 0.35) is None
    with pytest.raises(UnknownName, match="Did you mean 'mobilenet_v2'"):
        find("mobilenet_v22", 1.0)
