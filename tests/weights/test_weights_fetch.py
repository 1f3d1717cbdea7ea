"""Fetching from a server on this machine: resumed, checked, whole or absent."""

import hashlib
import importlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pocketvision.errors import WeightsError
from pocketvision.weights import fetch, find, sources

module = importlib.import_module("pocketvision.weights.fetch")
CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Pages(BaseHTTPRequestHandler):
    """`whole` can be resumed, `stubborn` sends everything each time, `cut` stops after `share` bytes an answer."""

    asked: list[tuple[str, str | None]]
    share = 300_000

    def do_GET(self):
        asked = self.headers.get("Range")
        self.asked.append((self.path, asked))
        body = b"something else" if self.path == "/other.pth" else CONTENT
        if self.path == "/none.pth":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.path != "/stubborn.pth" else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + self.share] if self.path == "/cut.pth" else body[start:])

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


@pytest.fixture
def asked():
    return Pages.asked


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    Pages.asked = []
    Pages.share = 300_000
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))
    monkeypatch.delenv("POCKETVISION_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "weights"


def source(url, sha256=DIGEST[:8], md5=""):
    return replace(sources()[0], url=url, sha256=sha256, md5=md5, file=url.rpartition("/")[2])


def refuse(*arguments, **named):
    raise AssertionError("the network was asked")


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
    assert [file.name for file in folders.iterdir()] == ["whole.pth"]
    monkeypatch.setattr(module, "download", refuse)
    assert fetch(source(f"{address}/whole.pth")) == path
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="is not the published file; delete it"):
        fetch(source(f"{address}/whole.pth"))


def test_a_download_that_is_cut_off_goes_on_by_itself(address, asked):
    path = fetch(source(f"{address}/cut.pth"))
    assert path.read_bytes() == CONTENT
    assert asked == [("/cut.pth", None), ("/cut.pth", "bytes=300000-"), ("/cut.pth", "bytes=600000-")]


def test_the_next_run_goes_on_where_the_last_one_ended(address, folders, asked):
    Pages.share = 1000
    with pytest.raises(WeightsError, match=r"cut short: 3000 of 768000 bytes; run again to go on from there"):
        fetch(source(f"{address}/cut.pth"))
    assert not (folders / "cut.pth").exists()
    Pages.share = len(CONTENT)
    steps = Steps()
    assert fetch(source(f"{address}/cut.pth"), progress=steps).read_bytes() == CONTENT
    assert asked[-1] == ("/cut.pth", "bytes=3000-")
    assert (steps.done, steps.total) == (len(CONTENT), len(CONTENT))
    assert [file.name for file in folders.iterdir()] == ["cut.pth"]


def draft(folders, name, content):
    folders.mkdir(parents=True, exist_ok=True)
    path = folders / f".{name}.{DIGEST[:8]}.part"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("page", ["stubborn.pth", "whole.pth"])
def test_a_draft_of_any_length_becomes_the_file(address, folders, page):
    for length in (1, 500_000, len(CONTENT)):
        kept = draft(folders, page, CONTENT[:length])
        assert fetch(source(f"{address}/{page}")).read_bytes() == CONTENT
        assert not kept.exists()
        (folders / page).unlink()


def test_a_wrong_draft_is_found_by_the_digest_and_dropped(address, folders):
    draft(folders, "whole.pth", b"x" * 1000)
    with pytest.raises(WeightsError, match="did not arrive as published; try again"):
        fetch(source(f"{address}/whole.pth"))
    assert not list(folders.iterdir())
    assert fetch(source(f"{address}/whole.pth")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("other.pth", r"did not arrive as published; try again \(sha256 "),
        ("none.pth", r"cannot fetch none.pth from 127.0.0.1:\d+ \(.*Not Found\); .* --weights FILE"),
    ],
)
def test_nothing_wrong_is_kept(address, folders, *, page, message):
    with pytest.raises(WeightsError, match=message):
        fetch(source(f"{address}/{page}"))
    assert not list(folders.iterdir())


def test_md5_where_nothing_better_is_stated(address, folders):
    right = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert fetch(source(f"{address}/whole.pth", "", right)).read_bytes() == CONTENT
    (folders / "whole.pth").unlink()
    with pytest.raises(WeightsError, match=r"\(md5 "):
        fetch(source(f"{address}/whole.pth", "", "0" * 32))


def test_a_file_that_nobody_vouches_for_is_never_put_together_from_two_runs(address, folders, asked):
    Pages.share = 1000
    with pytest.raises(WeightsError, match="cut short"):
        fetch(source(f"{address}/cut.pth", ""))
    assert not list(folders.iterdir())
    Pages.share = len(CONTENT)
    assert fetch(source(f"{address}/cut.pth", "")).read_bytes() == CONTENT
    assert asked[-1] == ("/cut.pth", None)


def test_too_large_a_file_is_refused(address, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DOWNLOAD", 500_000)
    with pytest.raises(WeightsError, match="larger than"):
        fetch(source(f"{address}/whole.pth"))


def test_without_a_network_one_line_says_what_to_do():
    with pytest.raises(WeightsError) as caught:
        fetch(source("http://127.0.0.1:9/mobilenet_v2.pth"))
    assert "\n" not in str(caught.value)
    assert "pass it with --weights FILE" in str(caught.value)


def test_a_local_folder_is_looked_at_first(monkeypatch, tmp_path):
    local = tmp_path / "mine"
    local.mkdir()
    (local / "whole.pth").write_bytes(CONTENT)
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(local))
    monkeypatch.setattr(module, "download", refuse)
    assert fetch(source("http://127.0.0.1:9/whole.pth")) == local / "whole.pth"


def hub_source(address, page, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda repo, file, *, revision: f"{address}/{page}")
    return replace(find("mobilenet_v1", 1.0), file="net.safetensors")


def test_a_hub_file_is_checked_against_the_hubs_digest(address, folders, monkeypatch):
    path = fetch(hub_source(address, "whole.pth", monkeypatch))
    assert path == folders / "net.safetensors"
    assert path.read_bytes() == CONTENT


def test_a_hub_file_that_differs_from_its_digest(address, monkeypatch):
    wrong = hub_source(address, "whole.pth", monkeypatch)
    monkeypatch.setattr(module, "download", lambda url, draft, *, file, progress: draft.write_bytes(b"else"))
    with pytest.raises(WeightsError, match="did not arrive as published"):
        fetch(wrong)


def test_a_hub_without_digest_or_network(address, monkeypatch):
    with pytest.raises(WeightsError, match="names no sha256"):
        fetch(hub_source(address, "other.pth", monkeypatch))
    with pytest.raises(WeightsError, match="pass it with --weights FILE"):
        fetch(hub_source("http://127.0.0.1:9", "whole.pth", monkeypatch))
