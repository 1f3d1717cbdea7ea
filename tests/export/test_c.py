"""C source of int8 nets: compiled, run, and its array compared with the LiteRT file."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError, UsageError
from pocketvision.export import c, litert
from pocketvision.export.manifest import manifest_of_file
from pocketvision.graph.fixed import XNNPACK
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime.litert import answer_of
from pocketvision.values import ImageSpec, Manifest, ModelSpec
from tests.export import detector as boxes

LABELS = ("plain", 'quo"ted', "größe\t1", "what??/", "日本", "\x01", "last")
PROGRAM = r"""
#include <stdio.h>
#include "net_1.h"
int main(void) {
  int i;
  printf("%d %d %d\n", NET_1_BYTES, NET_1_SIDE, NET_1_CLASSES);
  for (i = 0; i < NET_1_CLASSES; i++) printf("%s%c", net_1_labels[i], 0);
  fwrite(net_1_data, 1, sizeof net_1_data, stdout);
  return (int)((unsigned long)(const void *)net_1_data % 16);
}
"""
RESOLVER = r"""
#include "net_1.h"
struct Resolver {
  int count = 0;
%s
};
int main() { Resolver r; net_1_add_operators(r); return r.count == NET_1_OPERATORS ? 0 : 1; }
"""


BOXES = r"""
#include <stdio.h>
#include "net_1.h"
static float location[NET_1_ANCHORS * 4], score[NET_1_ANCHORS * NET_1_CLASSES];
static net_1_box found[NET_1_MOST_BOXES];
int main(void) {
  FILE *file = fopen("/tmp/place/outputs.bin", "rb");
  int i, count;
  if (!file || fread(location, sizeof location, 1, file) != 1 || fread(score, sizeof score, 1, file) != 1) return 1;
  count = net_1_boxes(location, score, 0.05f, found);
  for (i = 0; i < count; i++)
    printf("%.9g %.9g %.9g %.9g %d %.9g\n", (double)found[i].y1, (double)found[i].x1, (double)found[i].y2,
           (double)found[i].x2, found[i].label, (double)found[i].score);
  return 0;
}
"""


def images(side=24):
    return np.random.default_rng(0).integers(0, 256, (8, side, side, 3), np.uint8)


def int8_net(*, leaky=False):
    sketch = Sketch(24, seed=2)
    maps = sketch.conv("image", 8, kernel=3, stride=2)
    maps = sketch.add(sketch.depthwise(maps), maps)
    maps = sketch.activate(maps, "leaky_relu", slope=0.1) if leaky else maps
    graph = sketch.finish(sketch.linear(sketch.mean(maps), len(LABELS)))
    return quantize(graph, calibrate(graph, images()))


def manifest():
    spec, image = ModelSpec("toy */", 1.0, 24, len(LABELS)), ImageSpec(24)
    return Manifest(1, "a /* b \n", "classification", LABELS, image, spec, "int8", "0", {}, {}, (), {}, "2026")


def compiler(name):
    if shutil.which(name) is None:
        pytest.skip(f"needs the compiler {name}")
    return name


def build(folder, compiler_name, flags, source, *others):
    (folder / source[0]).write_text(source[1])
    order = [
        compiler(compiler_name),
        *flags,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        source[0],
        *others,
        "-o",
        "out",
    ]
    done = subprocess.run(order, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return subprocess.run([folder / "out"], capture_output=True, check=False)


def test_the_compiled_array_is_the_litert_file(tmp_path):
    graph = int8_net()
    size = c.write(graph, manifest(), tmp_path / "net-1.c")
    (tmp_path / "net-1.h").rename(tmp_path / "net_1.h")
    source = (tmp_path / "net-1.c").read_text(encoding="utf-8")
    (tmp_path / "net_1.c").write_text(source.replace("net-1.h", "net_1.h"), encoding="utf-8")
    done = build(tmp_path, "cc", ["-std=c99"], ("main.c", PROGRAM), "net_1.c")
    assert done.returncode == 0, "the array is not aligned"
    sizes, _, rest = done.stdout.partition(b"\n")
    assert sizes.decode().split() == [str(size), "24", str(len(LABELS))]
    *labels, content = rest.split(b"\0", len(LABELS))
    assert tuple(label.decode() for label in labels) == LABELS
    writer = litert.written(graph, lean=True)
    assert content == writer.file.to_bytes(*writer.ends())
    net = Interpreter(model_content=content)
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], images()[:1])
    net.invoke()
    found = net.get_tensor(net.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, run(graph, images()[:1]), atol=0.03)
    np.testing.assert_array_equal(found, answer_of(litert.to_bytes(graph))(images()[:1]), "phones' file rounds alike")


def test_the_header_registers_the_operators_of_the_net_and_no_others(tmp_path):
    graph = int8_net(leaky=True)
    c.write(graph, manifest(), tmp_path / "net_1.c")
    wanted = [c.MICRO[kind] for kind in {step.kind for step in litert.written(graph, lean=True).file.steps}]
    methods = "\n".join(f"  void Add{name}() {{ ++count; }}" for name in wanted)
    assert build(tmp_path, "c++", ["-std=c++17"], ("main.cc", RESOLVER % methods)).returncode == 0
    assert {"Conv2D", "DepthwiseConv2D", "LeakyRelu"} <= set(wanted)


def test_the_arena_holds_what_is_alive_at_once():
    file = litert.written(int8_net(), lean=True).file
    largest = 24 * 24 * 3 + 12 * 12 * 8  # image and first maps, in bytes
    assert largest < c.arena_bytes(file) < 4 * largest
    in_float = litert.written(int8_net()).file
    assert c.arena_bytes(in_float) > 1.5 * c.arena_bytes(file)


def test_what_cannot_become_c_is_told(tmp_path, monkeypatch):
    graph = int8_net()
    with pytest.raises(UsageError, match="--precision int8"):
        c.write(Graph(graph.nodes), manifest(), tmp_path / "m.c")
    monkeypatch.delitem(c.MICRO, "DEPTHWISE_CONV_2D")
    with pytest.raises(GraphError, match="has no DEPTHWISE_CONV_2D"):
        c.write(graph, manifest(), tmp_path / "m.c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stem", "name"), [("model", "model"), ("net-1", "net_1"), ("8bit", "net_8bit"), ("größe", "gr__e")]
)
def test_symbols_are_identifiers(stem, name):
    assert c.symbol(stem) == name


def test_boxes_in_c_are_those_of_the_graph(tmp_path):
    graph = boxes.quantized(boxes.detector())
    words = manifest_of_file(boxes.MODEL, boxes.IMAGE, boxes.LABELS)
    words = replace(words, task="detection", precision="int8", thresholds=boxes.TASK.thresholds)
    c.write(graph, words, tmp_path / "net_1.c")
    net = Interpreter(model_content=litert.to_bytes(graph, replace(words, ends="raw")))
    net.allocate_tensors()
    found = {entry["name"]: entry["index"] for entry in net.get_output_details()}
    expected = run(graph, boxes.images(), rounding=XNNPACK)
    assert (expected[..., 5] > 0.2).sum() > 30
    for image, rows in zip(boxes.images(), expected, strict=True):
        net.set_tensor(net.get_input_details()[0]["index"], image[None])
        net.invoke()
        content = b"".join(net.get_tensor(found[name]).tobytes() for name in ("location", "score"))
        (tmp_path / "outputs.bin").write_bytes(content)
        done = build(
            tmp_path, "cc", ["-std=c99"], ("main.c", BOXES.replace("/tmp/place", tmp_path.as_posix())), "net_1.c", "-lm"
        )
        told = np.array([line.split() for line in done.stdout.decode().splitlines()], np.float32)
        kept = rows[rows[:, 5] > 0]
        assert told.shape == kept.shape
        np.testing.assert_allclose(told, kept, atol=1e-5)
    header = (tmp_path / "net_1.h").read_text()
    assert "#define NET_1_THRESHOLD 0.3f" in header
    assert "Outputs: float [1, anchors, 4], the codes of boxes, and float [1, anchors, 3], scores." in header
