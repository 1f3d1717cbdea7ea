"""The small server: what it gives, what it refuses, and the headers that threads and safety need."""

import gzip
import http.client
import os
import socket
import ssl
from pathlib import Path

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.serve.certificate import context_of
from pocketvision.serve.copies import accepted, write_copies
from pocketvision.serve.server import make_server
from tests.serve.browser import running

HOST = "127.0.0.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    inside = tmp_path / "demo"
    (inside / "assets").mkdir(parents=True)
    (inside / "index.html").write_text("<!doctype html>page")
    (inside / "assets" / "code.js").write_text("1")
    (inside / "assets" / "net.wasm").write_bytes(b"\0asm")
    (inside / "with space.json").write_text("{}")
    return inside


def ask(port: int, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_files_come_with_their_types_and_with_what_threads_need(folder: Path) -> None:
    with running(make_server(folder, HOST, 0)) as port:
        page = ask(port, "/?threads=2")
        assert (page.status, page.body) == (200, b"<!doctype html>page")
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        types = {name: ask(port, name).headers["Content-Type"] for name in ("/assets/code.js", "/assets/net.wasm")}
        assert types == {"/assets/code.js": "text/javascript; charset=utf-8", "/assets/net.wasm": "application/wasm"}
        assert ask(port, "/with%20space.json").body == b"{}"
        head = ask(port, "/index.html", "HEAD")
        assert (head.headers["Content-Length"], head.body) == ("19", b"")


def test_what_a_browser_has_is_not_sent_again(folder: Path) -> None:
    with running(make_server(folder, HOST, 0)) as port:
        tag = ask(port, "/index.html").headers["ETag"]
        assert ask(port, "/index.html", **{"If-None-Match": tag}).status == 304
        (folder / "index.html").write_text("<!doctype html>another page")
        assert ask(port, "/index.html", **{"If-None-Match": tag}).status == 200


def test_browsers_get_the_copy_that_they_take(folder: Path) -> None:
    content = b"the same words, " * 500
    (folder / "model.onnx").write_bytes(content)
    write_copies(folder, ["model.onnx", "index.html"])
    (folder / "model.onnx.br").write_bytes(b"as brotli")
    with running(make_server(folder, HOST, 0)) as port:
        plain = ask(port, "/model.onnx")
        assert (plain.body, plain.headers["Content-Encoding"]) == (content, None)
        zipped = ask(port, "/model.onnx", **{"Accept-Encoding": "gzip, deflate"})
        assert (gzip.decompress(zipped.body), zipped.headers["Content-Encoding"]) == (content, "gzip")
        assert int(zipped.headers["Content-Length"]) == len(zipped.body) < 200
        best = ask(port, "/model.onnx", **{"Accept-Encoding": "gzip, deflate, br, zstd"})
        assert (best.body, best.headers["Content-Encoding"]) == (b"as brotli", "br")
        assert {answer.headers["Vary"] for answer in (plain, zipped, best)} == {"Accept-Encoding"}
        assert {answer.headers["Content-Type"] for answer in (plain, zipped, best)} == {"application/octet-stream"}
        tags = [answer.headers["ETag"] for answer in (plain, zipped, best)]
        assert len(set(tags)) == 3, "a cache must not take one for the other"
        known = ask(port, "/model.onnx", **{"Accept-Encoding": "gzip", "If-None-Match": tags[1]})
        assert (known.status, known.headers["Vary"]) == (304, "Accept-Encoding")
        page = ask(port, "/", **{"Accept-Encoding": "gzip, br"})
        assert (page.body, page.headers["Vary"]) == (b"<!doctype html>page", None), "too short for a copy"
        # Who asks for the copy by its name gets it as it lies.
        assert ask(port, "/model.onnx.gz").headers["Content-Encoding"] is None


def test_a_copy_of_an_older_file_is_not_given(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"the same words, " * 500)
    write_copies(folder, ["model.onnx"])
    later = (folder / "model.onnx.gz").stat().st_mtime + 1
    (folder / "model.onnx").write_bytes(b"another net")
    os.utime(folder / "model.onnx", (later, later))
    with running(make_server(folder, HOST, 0)) as port:
        answer = ask(port, "/model.onnx", **{"Accept-Encoding": "gzip, br"})
        assert (answer.body, answer.headers["Vary"]) == (b"another net", None)


def test_files_that_do_not_pack_get_no_copies(folder: Path) -> None:
    (folder / "noise.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    write_copies(folder, ["noise.bin", "index.html"])
    assert not list(folder.glob("*.gz"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ("gzip, deflate, br", ("br", "gzip")),
        ("br;q=0, gzip;q=0.5", ("gzip",)),
        ("BR ; q=1.0", ("br",)),
        ("*", ("br", "gzip")),
        ("*;q=0.000, gzip", ("gzip",)),
        ("identity", ()),
    ],
)
def test_what_a_browser_takes_is_read(header: str, expected: tuple[str, ...]) -> None:
    assert accepted(header) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd",
        "/assets/../../secret.txt",
        "/assets/..%5c..%5csecret.txt",
        "/assets",
        "/assets/",
        "/absent",
        "/index.html%00.txt",
    ],
)
def test_nothing_outside_the_folder_is_given(folder: Path, path: str) -> None:
    with running(make_server(folder, HOST, 0)) as port:
        answer = ask(port, path)
        assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_read_from(folder: Path, method: str) -> None:
    with running(make_server(folder, HOST, 0)) as port:
        assert ask(port, "/index.html", method).status == 501


def test_broken_requests_stop_nothing_and_print_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running(make_server(folder, HOST, 0)) as port:
        for words in (b"\xff\xfe nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n", b""):
            with socket.create_connection((HOST, port), timeout=20) as client:
                client.sendall(words)
        assert ask(port, "/").status == 200
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_is_told(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} cannot be used .* --port"):
            make_server(folder, HOST, port)


def test_a_self_signed_certificate_encrypts(folder: Path) -> None:
    context = context_of("self-signed", HOST)
    with running(make_server(folder, HOST, 0, context=context)) as port:
        trusting = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(HOST, port, timeout=20, context=trusting)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"<!doctype html>page"
        connection.close()
        with socket.create_connection((HOST, port), timeout=20):  # a client that says nothing holds up no other
            connection = http.client.HTTPSConnection(HOST, port, timeout=20, context=trusting)
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
            connection.close()


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no certificate"):
        context_of(str(tmp_path / "absent.pem"), HOST)
    (tmp_path / "text.pem").write_text("text")
    with pytest.raises(UsageError, match="certificate and its private key"):
        context_of(str(tmp_path / "text.pem"), HOST)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="openssl, which is not installed"):
        context_of("self-signed", HOST)
