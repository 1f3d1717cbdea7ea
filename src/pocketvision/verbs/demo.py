"""The verb `demo`: a page that answers images with the file, on this machine or on a phone."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import HTTPServer
from pathlib import Path

from pocketvision.errors import UnknownName, UsageError
from pocketvision.latency.device_file import CALIBRATION
from pocketvision.progress import Progress
from pocketvision.runs import RunFolder
from pocketvision.serve.certificate import SELF_SIGNED, context_of
from pocketvision.serve.code import qr_code
from pocketvision.serve.folder import RUNTIMES, write_calibration, write_demo
from pocketvision.serve.server import make_server
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import DemoOptions

HERE, EVERYWHERE = "127.0.0.1", "0.0.0.0"
SLOW_WEIGHTS = (
    "browsers answer slowly: LiteRT.js widens float16 weights for every image. Show the file as float or int8, or "
    "export it as ONNX too"
)
_ELSEWHERE = ("192.0.2.1", 9)  # RFC 5737: an address that belongs to nobody; nothing is sent to it


@dataclass(frozen=True)
class Demo:
    """Where the demo lies, and where it was served."""

    folder: str
    """Path of the folder."""
    files: tuple[str, ...]
    """The model files in it, the one that the page tries first before the others."""
    size_bytes: int
    """Of the whole folder; a device fetches one runtime and one model file of it."""
    address: str | None
    """Where it was served, None where it was only written."""


@verb(DemoOptions)
def demo(options: DemoOptions) -> Demo:
    """Write a static folder with a page that answers images by the file, and serve it until interrupted.

    `source` is the folder of a run with exported files, or a file; or the folder of calibration nets, which the page
    then times, and gives the times as a file. The folder is written to `output`, by default
    `demo` in the run's folder or beside the file. Served to this machine only, with `lan` to the whole local network.
    `cert` is a PEM file with certificate and key, or `self-signed`: live cameras need https on other devices.
    Raises UsageError where there is no file or the port is taken, RunExists where the folder holds something else.
    """
    source = Path(options.source)
    nets = (source / CALIBRATION).is_file()
    models = [] if nets else models_of(source)
    target = Path(options.output) if options.output is not None else _beside(source)
    host = _own_address() if options.serve and options.lan else HERE
    context = context_of(options.cert, host) if options.serve and options.cert is not None else None
    names = _measuring(source, target) if nets else _answering(models, target, options.progress)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    options.progress.say(f"demo: {target} ({size / 1e6:.0f} MB), to be opened from any static host")
    if not options.serve:
        return Demo(target.as_posix(), names, size, None)
    server = make_server(target, EVERYWHERE if options.lan else HERE, options.port, context=context)
    address = f"{'http' if options.cert is None else 'https'}://{host}:{server.server_address[1]}/"
    _serve(server, address, _advice(lan=options.lan, cert=options.cert), code=options.lan, progress=options.progress)
    return Demo(target.as_posix(), names, size, address)


def _measuring(source: Path, target: Path) -> tuple[str, ...]:
    return tuple(net.file for net in write_calibration(source, target).nets)


def _answering(models: Sequence[Path], target: Path, progress: Progress) -> tuple[str, ...]:
    facts = write_demo(models, target)
    if facts.manifest.precision == "float16" and facts.files[0].runtime == "litert":
        progress.say(SLOW_WEIGHTS)
    return tuple(file.path for file in facts.files)


def models_of(source: Path) -> list[Path]:
    """Return the model files of a run, or the one named."""
    if source.is_dir():
        export = RunFolder(source).export
        found = [path for path in map(export.model, RUNTIMES) if path.is_file()]
        if not found:
            wanted = " or ".join(f"model{suffix}" for suffix in RUNTIMES)
            raise UsageError(f"{export.path} holds no {wanted}; name a run of `fit`, or export the run first")
        return found
    if not source.exists():
        raise UsageError(f"there is no run or file {source}; name the folder of a run, or an exported file")
    if source.suffix.lower() not in RUNTIMES:
        raise UnknownName("model file suffix", source.suffix, RUNTIMES)
    return [source]


def _beside(source: Path) -> Path:
    return source / "demo" if source.is_dir() else source.with_name(f"{source.stem}-demo")


def _serve(server: HTTPServer, address: str, advice: Sequence[str], *, code: bool, progress: Progress) -> None:
    progress.say(f"open {address}")
    if code:
        progress.say(qr_code(address))
    for line in advice:
        progress.say(line)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        progress.say("stopped")
    finally:
        server.server_close()


def _advice(*, lan: bool, cert: str | None) -> list[str]:
    """Say what the phone will need, and how the demo ends."""
    lines = []
    if not lan:
        lines.append("this machine only; for a phone in the same network add --lan")
    elif cert is None:
        lines.append("over http phones take and choose images, but give no live camera; for it add --cert self-signed")
    elif cert == SELF_SIGNED:
        lines.append("the phone will warn of a certificate that nobody vouches for; go on to the page all the same")
    return [*lines, "press Ctrl-C to stop"]


def _own_address() -> str:
    """Return this machine's address in the local network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            raise UsageError("this machine is in no network that a phone could be in; leave out --lan") from None
        return str(probe.getsockname()[0])
