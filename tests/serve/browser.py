"""A real browser for tests: `web/browser/drive.mjs` uses the page as a person would and tells what it showed."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parents[2] / "web"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 900


@dataclass(frozen=True)
class Seen:
    """What a browser showed: one result a step, every address it asked for, and what it complained of."""

    results: list[Any]
    requests: list[str]
    complaints: list[str]


def browse(address: str, steps: Sequence[dict[str, Any]], **plan: Any) -> Seen:
    """Go through the steps at an address; skips where there is no browser or no Node."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    node = shutil.which("node")
    if chromium is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    if node is None or not (WEB / "node_modules" / "playwright-core").is_dir():
        pytest.skip("needs Node and the packages that `make web` installs")
    placed = [step | {"address": address + step.get("query", "")} if step["do"] == "load" else step for step in steps]
    text = json.dumps({"chromium": chromium, "steps": placed, **plan})
    done = subprocess.run(
        [node, "browser/drive.mjs"],
        cwd=WEB,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # LiteRT.js writes its news to where errors go.
    seen = Seen(**json.loads(done.stdout))
    return Seen(
        seen.results, seen.requests, [line for line in seen.complaints if not line.startswith(("INFO", "WARNING"))]
    )


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[int]:
    """Serve for the body; give the port."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
