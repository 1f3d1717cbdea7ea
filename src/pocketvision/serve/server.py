"""A small server of one folder, for the local network: only files that lay there when it started, only to read.

Where a packed copy lies beside a file, browsers that take it get the copy.
"""

import mimetypes
import shutil
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pocketvision.errors import UsageError
from pocketvision.packing import CODINGS
from pocketvision.serve.copies import accepted

HEADERS = {
    # With these two a page may share memory between threads: without them WebAssembly has one.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The page's own policy is in its head; this one thing only a header can say.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
TYPES = {
    ".br": "application/octet-stream",
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
"""What a system's own list of types often lacks or has wrong, and browsers are strict about."""
_SECONDS = 60
"""Longest wait for a client in the middle of a request."""


def make_server(folder: Path, host: str, port: int, *, context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    """Bind a server of the folder's files; `serve_forever` starts it. Raises UsageError where the port is taken."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    handler = type("Handler", (_Handler,), {"files": files})
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error.strerror}); choose another with --port") from error
    if context is not None:
        # The handshake waits for the client, so it belongs to the client's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


class Sent(NamedTuple):
    """What is sent for a file: the file itself, or a packed copy."""

    path: Path
    coding: str
    """As HTTP calls it; empty for the file itself."""
    varies: bool
    """Whether other requests may get another."""


def to_send(name: str, files: Mapping[str, Path], accept: str) -> Sent:
    """Choose between a file and its copies, for a request's Accept-Encoding; copies older than the file are ignored."""
    file = files[name]
    copies = {coding: files[name + suffix] for coding, suffix in CODINGS.items() if name + suffix in files}
    fresh = {coding: copy for coding, copy in copies.items() if _changed(copy) >= _changed(file)}
    taken = next((coding for coding in accepted(accept) if coding in fresh), "")
    return Sent(fresh.get(taken, file), taken, bool(fresh))


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: phones break connections all the time, and one that distrusts a certificate does too."""


class _Handler(BaseHTTPRequestHandler):
    files: Mapping[str, Path] = {}
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server_version, sys_version = "pocketvision", ""

    def do_GET(self) -> None:
        """Answer with a file."""
        path = self._begin()
        if path is not None:
            with path.open("rb") as stream:
                shutil.copyfileobj(stream, self.wfile)

    def do_HEAD(self) -> None:
        """Answer with a file's headers."""
        self._begin()

    def _begin(self) -> Path | None:
        """Send status and headers; return the file whose content is to follow."""
        name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
        # A name is looked up in a list, never joined to a path, so that none leads out of the folder.
        path = self.files.get(name)
        if path is None or not path.is_file():
            self._head(HTTPStatus.NOT_FOUND, length=0)
            return None
        sent = to_send(name, self.files, self.headers.get("Accept-Encoding", ""))
        state = sent.path.stat()
        given = {"ETag": f'"{state.st_mtime_ns:x}-{state.st_size:x}{sent.coding}"'}
        if sent.varies:
            given["Vary"] = "Accept-Encoding"
        if self.headers.get("If-None-Match") == given["ETag"]:
            self._head(HTTPStatus.NOT_MODIFIED, given)
            return None
        known = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        given["Content-Type"] = known or "application/octet-stream"
        given["Content-Encoding"] = sent.coding
        self._head(HTTPStatus.OK, given, length=state.st_size)
        return sent.path

    def _head(self, status: HTTPStatus, given: Mapping[str, str] = {}, *, length: int | None = None) -> None:
        self.send_response(status)
        counted = {} if length is None else {"Content-Length": str(length)}
        for name, value in (HEADERS | dict(given) | counted).items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""
