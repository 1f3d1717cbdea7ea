"""Where code may lie and what it may import: the ladder of rooms, doors for heavy packages, sizes, words."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import pocketvision
from pocketvision.runs import ExportFolder, RunFile, RunFolder

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pocketvision"
FILES = sorted(SOURCE.rglob("*.py"))

LADDER = (
    ("__init__", "__main__", "cli"),
    ("verbs",),
    ("fit",),
    ("report", "serve"),
    ("verify",),
    ("export",),
    ("runtime",),
    ("train", "probe", "budget"),
    ("compress",),
    ("cost", "latency"),
    ("data",),
    ("tasks",),
    ("weights", "metrics", "graph"),
    ("models", "images"),
    ("values", "runs", "settings", "clock", "errors", "files", "process", "progress", "cache", "words", "packing"),
)
"""A room imports only from lines below its own. The last line's files are small and may use each other."""

LEVEL = {room: len(LADDER) - place for place, line in enumerate(LADDER) for room in line}
GROUND = set(LADDER[-1])

EXCEPTIONS = {}
"""(file, room) that the ladder forbids, with the reason."""

TORCH_FREE = set(LEVEL) - {"__init__", "__main__", "cli", "verbs", "fit", "train", "probe", "weights", "models"}
TORCH_FILES = {
    "compress/channels.py",
    "compress/distill.py",
    "compress/recover.py",
    "compress/retrain.py",
    "compress/sensitivity.py",
    "compress/torch_measure.py",
    "compress/slim.py",
    "data/augment.py",
    "data/augment_boxes.py",
    "data/tensors.py",
    "graph/autograd.py",
    "graph/layers.py",
    "graph/trace.py",
    "runtime/executorch.py",
    "tasks/attributes/learning.py",
    "tasks/classify/learning.py",
    "tasks/detect/learning.py",
}
"""The files of torch-free rooms that need torch; nothing else in their rooms imports them."""

TORCH_VERBS = {"distill", "fit", "plan", "probe", "train"}
"""The verbs that need torch as soon as they are loaded; the others run where the delivered file runs."""

DOORS = {
    "ai_edge_litert": ("runtime/litert.py",),
    "brotli": ("packing.py",),
    "coremltools": ("export/coreml.py", "runtime/mil_file.py"),
    "datasets": ("data/layouts/hub.py",),
    "executorch": ("export/executorch.py", "runtime/executorch.py"),
    "flatbuffers": ("export/tables.py", "weights/tflite_detector.py"),
    "h5py": ("weights/keras.py",),
    "huggingface_hub": ("weights/fetch.py",),
    "jinja2": ("report/page.py",),
    "mlflow": ("train/logs.py",),
    "onnx": ("export/onnx.py", "weights/onnx_nodes.py"),
    "onnxruntime": ("runtime/onnx.py",),
    "openvino": ("export/openvino.py", "runtime/openvino.py"),
    "pi_heif": ("images/decode.py",),
    "plotly": ("report/plots.py",),
    "rich": ("cli/terminal.py",),
    "segno": ("serve/code.py",),
    "sklearn": ("data/digits.py", "probe/heads.py"),
    "tensorboard": ("train/logs.py",),
    "tflite": ("weights/tflite.py",),
    "typer": ("cli/",),
    "wandb": ("train/logs.py",),
    "zstandard": ("packing.py",),
}
"""The only file, or folder, that imports a heavy package; a writer and a reader of one format are two."""

LONGEST_MODULE, LONGEST_BODY = 400, 40
SHAPELESS = {"utils", "util", "common", "helpers", "helper", "core", "misc"}
WRITTEN = (*ROOT.glob("*.*"), ROOT / "Makefile", ROOT / ".ci" / "run")
TEXTS = sorted(
    path
    for path in (
        *WRITTEN,
        *(p for d in ("src", "tests", "docs", "benchmarks", ".github") for p in (ROOT / d).rglob("*")),
    )
    if path.suffix in (".py", ".md", ".toml", ".txt", ".yml", ".html", ".css", "")
    and path.is_file()
    and ".egg-info" not in str(path)
)


class Import(NamedTuple):
    """One imported module and the line it stands on."""

    module: str
    line: int


def imports(source: str) -> Iterator[Import]:
    """Yield every import, also inside functions and under TYPE_CHECKING, and modules named in tables of strings."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            case ast.ImportFrom(module="pocketvision"):
                yield from (Import(_named(alias.name), node.lineno) for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, f"line {node.lineno}: imports are absolute here"
                yield Import(node.module or "", node.lineno)
            case ast.Constant(value=str(text)) if re.fullmatch(r"pocketvision\.[\w.]+(:\w+)?", text):
                yield Import(text.partition(":")[0], node.lineno)


def _named(name: str) -> str:
    """Return what `from pocketvision import <name>` reaches: a room, or else something of the package itself."""
    return f"pocketvision.{name}" if name in LEVEL and name not in pocketvision.__all__ else "pocketvision"


def room_of(module: str) -> str | None:
    """Return the room of a module of ours, `__init__` for the package itself, None for a module of others."""
    top, _, rest = module.partition(".")
    return (rest.partition(".")[0] or "__init__") if top == "pocketvision" else None


def allowed(room: str, target: str) -> bool:
    """Tell whether a room may import another."""
    if room == target or {room, target} <= GROUND or {room, target} <= set(LADDER[0]):
        return True
    return LEVEL[target] < LEVEL[room]


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def own_room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def all_imports() -> Iterator[tuple[Path, Import]]:
    for path in FILES:
        for found in imports(path.read_text(encoding="utf-8")):
            yield path, found


def test_every_room_has_its_place_on_the_ladder() -> None:
    assert {own_room(path) for path in FILES} == set(LEVEL)


def test_rooms_import_only_from_below() -> None:
    forbidden = {}
    for path, found in all_imports():
        target = room_of(found.module)
        if target is not None and not allowed(own_room(path), target):
            forbidden[relative(path), target] = f"{relative(path)}:{found.line} imports {found.module}"
    assert [text for key, text in forbidden.items() if key not in EXCEPTIONS] == []
    assert set(EXCEPTIONS) <= set(forbidden), "an exception that is no longer needed"


@pytest.mark.parametrize(
    ("room", "source", "legal"),
    [
        ("metrics", "def f():\n    from pocketvision.verify.verify import prove", False),
        ("metrics", "if TYPE_CHECKING:\n    from pocketvision.graph.graph import Graph", False),
        ("runtime", "TABLE = {'onnx': 'pocketvision.export.onnx:write'}", False),
        ("weights", "from pocketvision import cost", False),
        ("weights", "from pocketvision import files", True),
        ("verify", "import pocketvision.runtime.onnx", True),
        ("runs", "from pocketvision.files import write_text", True),
    ],
)
def test_the_ladder_is_told_apart(room: str, source: str, legal: bool) -> None:
    targets = [room_of(found.module) for found in imports(source)]
    assert [target is not None and allowed(room, target) for target in targets] == [legal]


FOREIGN_NAMES = {
    ("data/layouts/labels.py", "labels.txt"): "a list of classes that lies in the user's data",
    ("export/litert_metadata.py", "labels.txt"): "inside a LiteRT file",
    ("export/litert_metadata.py", "manifest.json"): "inside a LiteRT file",
    ("runtime/litert.py", "manifest.json"): "inside a LiteRT file",
}
"""(file, name) that is no file of a run."""


def test_the_files_of_a_run_are_named_by_their_owner_alone() -> None:
    parts = [
        getattr(folder, name)
        for folder in (RunFolder(Path()), ExportFolder(Path()))
        for name, part in vars(type(folder)).items()
        if isinstance(part, property)
    ]
    paths = [part.path if isinstance(part, RunFile) else part for part in parts if not isinstance(part, ExportFolder)]
    names = {path.name for path in paths if path.suffix or path.name.isupper()}
    assert {"args.yaml", "labels.txt", "best.safetensors", "manifest.json", "SHA256SUMS"} <= names
    spelled = {
        (relative(path), node.value.rpartition("/")[2])
        for path in FILES
        if own_room(path) != "runs"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {(file, name) for file, name in spelled if name in names} == set(FOREIGN_NAMES)


def test_torch_is_imported_only_where_nets_are_built_trained_and_traced() -> None:
    found = [
        f"{relative(path)}:{found.line}"
        for path, found in all_imports()
        if (found.module.partition(".")[0] == "torch" or found.module == "safetensors.torch")
        and own_room(path) in TORCH_FREE
        and relative(path) not in TORCH_FILES
    ]
    assert found == []


def test_torch_free_rooms_load_without_torch_and_without_heavy_packages() -> None:
    paths = [path for path in FILES if own_room(path) in TORCH_FREE and relative(path) not in TORCH_FILES]
    paths += [path for path in FILES if own_room(path) == "verbs" and path.stem not in TORCH_VERBS]
    names = [".".join(("pocketvision", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths]
    modules = [name.removesuffix(".__init__") for name in names]
    heavy = ["torch", *DOORS]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = [package for package in {heavy!r} if package in sys.modules]\n"
        "    assert not loaded, f'{name} loads {loaded}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


def test_heavy_packages_have_one_door() -> None:
    opened: dict[str, set[str]] = {package: set() for package in DOORS}
    for path, found in all_imports():
        package = found.module.partition(".")[0]
        if package in DOORS:
            opened[package].add(relative(path))
    strays = [
        f"{file} imports {package}"
        for package, files in opened.items()
        for file in sorted(files)
        if not file.startswith(DOORS[package])
    ]
    assert strays == []
    assert [package for package, files in opened.items() if not files] == [], "a door that nobody uses"


def test_children_are_started_in_one_place() -> None:
    starters = {"subprocess", "multiprocessing", "concurrent.futures.process", "pty"}
    found = {relative(path) for path, found in all_imports() if found.module in starters or found.module == "runpy"}
    assert found == {"process.py"}


def test_modules_are_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_functions_are_short() -> None:
    long = {
        f"{relative(path)}:{node.lineno} {node.name}": length
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := body_length(node)) > LONGEST_BODY
    }
    assert long == {}


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a body, without signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_a_docstring_and_a_signature_are_no_body() -> None:
    source = 'def f(\n    a,\n    b,\n):\n    """One.\n\n    Two.\n    """\n    x = a\n\n    return x + b\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert body_length(function) == 3


def test_every_module_says_what_is_in_it_and_no_room_is_shapeless() -> None:
    silent = [
        relative(path) for path in FILES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []
    assert [relative(path) for path in FILES if SHAPELESS & set(path.with_suffix("").parts[-2:])] == []


# Written in two parts, so that this file does not hold them itself.
REGISTRIES = ["pypi" + ".org", "python" + "hosted.org", "pytorch.org" + "/whl", "index" + "-url", "find" + "-links"]
UNFINISHED = ["TO" + "DO", "FIX" + "ME"]


@pytest.mark.parametrize("word", [*REGISTRIES, *UNFINISHED])
def test_no_file_holds(word: str) -> None:
    assert len(TEXTS) > 100
    holders = [path for path in TEXTS if word in path.read_text(encoding="utf-8")]
    assert [path.relative_to(ROOT).as_posix() for path in holders] == []


PAPERS = ("models/", "cost/tables/", "weights/deep_compression.py")
"""Where classes bear the names of the papers, which many papers share."""


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(relative(path))
    ours = {name: [home for home in found if not home.startswith(PAPERS)] for name, found in homes.items()}
    assert {name: found for name, found in ours.items() if len(found) > 1} == {}
