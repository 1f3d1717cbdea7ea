"""The page's sources: what they may be built from, and what the page may speak to."""

import json
import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"

pytestmark = pytest.mark.skipif(not WEB.is_dir(), reason="the page's sources are in a checkout only")


def test_packages_are_named_by_version_and_digest_and_by_no_address() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 20
    assert [name for name, entry in packages.items() if "resolved" in entry or "integrity" not in entry] == []
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    versions = {**wanted["dependencies"], **wanted["devDependencies"]}
    assert [name for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    assert set(wanted["dependencies"]) == {"@litertjs/core", "onnxruntime-web"}, "what is shipped has a license to show"


def test_the_page_speaks_only_to_the_place_it_came_from() -> None:
    page = (WEB / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert "http" not in policy[1]
    sources = [*(WEB / "src").glob("*.ts"), *(WEB / "public").glob("*.js"), WEB / "index.html"]
    assert len(sources) > 10
    assert [path.name for path in sources if re.search(r"https?://", path.read_text(encoding="utf-8"))] == []
