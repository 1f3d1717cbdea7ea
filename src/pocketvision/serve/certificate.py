"""Certificates for the camera, which browsers give only to addresses that begin with https."""

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.process import run_program

SELF_SIGNED = "self-signed"
_DAYS = 30
_COMMAND = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256"


def context_of(cert: str, host: str) -> ssl.SSLContext:
    """Return what encrypts with a PEM file that holds a certificate and its key, or with a new self-signed one.

    A self-signed certificate is made by the program `openssl` for this host and localhost, is valid for 30 days, and
    its key is forgotten at the end. Raises UsageError where the file cannot be used, PocketvisionError without openssl.
    """
    if cert == SELF_SIGNED:
        with TemporaryDirectory() as folder:
            return _loaded(_self_signed(Path(folder, "self-signed.pem"), host))
    if not Path(cert).is_file():
        raise UsageError(f"there is no certificate {cert}; give a PEM file with certificate and key, or 'self-signed'")
    return _loaded(Path(cert))


def _loaded(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(path, password=_no_password)
    except (ssl.SSLError, UsageError) as error:
        raise UsageError(
            f"{path} cannot be used: it must hold a certificate and its private key, both as PEM and without a password"
        ) from error
    return context


def _no_password() -> str:
    raise UsageError("its key has a password")


def _self_signed(path: Path, host: str) -> Path:
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1" + ("" if host == "127.0.0.1" else f",IP:{host}")
    options = [*_COMMAND.split()[1:], "-days", str(_DAYS), "-subj", "/CN=pocketvision demo", "-addext", names]
    files = ["-keyout", str(path), "-out", str(path.with_name("certificate.pem"))]
    done = run_program("openssl", *options, *files)
    if done is None:
        raise PocketvisionError(
            "a self-signed certificate is made by the program openssl, which is not installed. Install it, give a "
            "certificate of your own with --cert FILE, or put the folder on any host that has https"
        )
    if done.returncode != 0:
        detail = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PocketvisionError(f"openssl made no certificate ({detail}); give one of your own with --cert FILE")
    with path.open("a", encoding="ascii") as stream:
        stream.write(path.with_name("certificate.pem").read_text(encoding="ascii"))
    return path
