"""Peak memory: by hand, against every possible order of small nets, in written files, and as the papers count it."""

import itertools
import math
import time

import numpy as np
import onnx
import pytest

from pocketvision.cost import paper_memory, peak, peak_activation_bytes, peak_as_ordered
from pocketvision.fit.weighing import content_of
from pocketvision.graph import order
from pocketvision.graph.graph import Conv, Flatten, Graph, Input, Linear, Node
from pocketvision.graph.order import best_order, flow, schedule
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.trace import trace_spec
from pocketvision.metrics.accuracy import wilson
from pocketvision.models.catalogue import parse_name
from pocketvision.values import ImageSpec, ModelSpec, TaskSpec, Trained


def test_peak_memory_of_mobilenet_v1_by_hand() -> None:
    # The first pointwise layer holds its input, 32 channels wide, and its output, 64 wide.
    graph = trace_spec(ModelSpec("mobilenet_v1"))
    found = peak(graph)
    assert found.values == (32 + 64) * 112 * 112
    assert (found.layer, found.tensors) == ("features.2.0", ("features.1.0", "features.2.0"))
    assert [found.bytes(bits) for bits in (8, 16, 32)] == [1_204_224, 2_408_448, 4_816_896]
    assert peak_activation_bytes(graph, 4) == 4_816_896


def test_a_shortcut_stays_alive_until_it_is_added() -> None:
    # MobileNetV2 in its own order: the second 24-channel block holds its input beside two 144-channel maps.
    graph = trace_spec(ModelSpec("mobilenet_v2"))
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    moments = {step.layer: step for step in order.steps(flow(graph), range(len(graph.nodes)))}
    moment = moments[places["features.3.layers.1.0"]]
    assert moment.values == (24 + 144 + 144) * 56 * 56
    assert graph.nodes[moment.alive[0]].name == "features.2.layers.2.0"


def test_a_flattened_map_is_the_same_memory() -> None:
    image = Input("image", (), 8, (0.5,), (0.5,))
    weight = np.zeros((10, 64), np.float32)
    last = Linear("linear", ("flat",), weight, np.zeros(10, np.float32), "none", 640)
    assert peak(Graph((image, Flatten("flat", ("image",)), last))).values == 64 + 10


def random_net(seed: int, count: int = 9) -> Graph:
    """Draw a net of layers of any size that read any earlier ones; each gives maps of one pixel."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input("0", (), 2, (0.5,), (0.5,))]
    for place in range(1, count):
        sources = rng.choice(place, size=min(place, int(rng.integers(1, 4))), replace=False)
        nodes.append(any_layer(str(place), tuple(map(str, sources)), nodes, int(rng.integers(1, 40))))
    read = {name for node in nodes for name in node.inputs}
    loose = tuple(node.name for node in nodes if node.name not in read)
    return Graph((*nodes, any_layer("out", loose, nodes, 3)))


def any_layer(name: str, sources: tuple[str, ...], nodes: list[Node], channels: int) -> Node:
    """Return a convolution of the first source that reads the others too."""
    first = nodes[[node.name for node in nodes].index(sources[0])]
    inputs, side = (len(first.weight), 1) if isinstance(first, Conv) else (1, 2)
    weight, bias = np.zeros((channels, inputs, side, side), np.float32), np.zeros(channels, np.float32)
    return Conv(name, sources, weight, bias, (1, 1), (0, 0, 0, 0), 1, "none", 0)


def peak_of(graph: Graph, names: tuple[str, ...]) -> int | None:
    """Count the peak of one order from scratch, None where a layer would run before what it reads."""
    nodes = {node.name: node for node in graph.nodes}
    peak = 0
    for place, name in enumerate(names):
        there = names[: place + 1]
        if not set(nodes[name].inputs) <= set(there[:-1]):
            return None
        later = {source for other in names[place:] for source in nodes[other].inputs}
        peak = max(peak, sum(math.prod(graph.shapes[item]) for item in there if item == name or item in later))
    return peak


@pytest.mark.parametrize("seed", range(12))
def test_the_best_order_is_the_best_of_all_orders(seed: int) -> None:
    graph = random_net(seed, count=8)
    middle = [node.name for node in graph.nodes[1:-1]]
    orders = (("0", *between, "out") for between in itertools.permutations(middle))
    peaks = [found for names in orders if (found := peak_of(graph, names)) is not None]
    ordered = best_order(graph)
    assert peak(graph).values == min(peaks)
    assert peak(graph).exact
    assert peak_of(graph, tuple(node.name for node in ordered.nodes)) == min(peaks)
    assert peak_as_ordered(ordered).values == min(peaks)
    assert peak_as_ordered(graph).values == peak_of(graph, tuple(node.name for node in graph.nodes))


def test_larger_nets_of_any_shape_are_still_exact() -> None:
    for seed in range(5):
        graph = random_net(seed, count=30)
        assert peak(graph).exact
        assert peak(graph).values <= peak_as_ordered(graph).values


def test_beyond_the_limit_the_given_order_stays_with_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_net(3, count=14)
    exact = peak(graph).values
    assert exact < peak_as_ordered(graph).values, "this net must have a better order"
    monkeypatch.setattr(order, "MOST_STATES", 2)
    found = schedule(graph)
    assert found.order == tuple(range(len(graph.nodes)))
    assert found.least <= exact < found.peak
    assert not peak(graph).exact


def test_the_given_order_stays_where_no_other_is_better() -> None:
    graph = trace_spec(ModelSpec("mobilenet_v2"))
    assert [node.name for node in best_order(graph).nodes] == [node.name for node in graph.nodes]


def branches() -> Graph:
    """Draw a net with two branches, each wide inside and narrow at its end, their wide layers first."""
    sketch = Sketch(16)
    stem = sketch.conv("image", 8)
    first, second = sketch.conv(stem, 24), sketch.conv(stem, 40)
    joined = sketch.concat(sketch.conv(first, 2), sketch.conv(second, 3))
    return sketch.finish(sketch.linear(sketch.mean(joined), 5))


def test_branches_run_one_after_the_other() -> None:
    graph = branches()
    assert peak_as_ordered(graph).values == (8 + 24 + 40) * 256
    assert peak(graph).values == (2 + 8 + 40) * 256
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    assert np.array_equal(run(graph, images), run(best_order(graph), images))


def test_files_are_written_in_the_best_order() -> None:
    graph, image = branches(), ImageSpec(16)
    splits: dict[str, float | int] = {"seed": 42, "val": 0.15, "test": 0.15}
    spec = ModelSpec("mobilenet_v1", 1.0, 16, 5)
    trained = Trained(spec, image, "from scratch", 0, wilson(1, 1), 1.0, "0" * 64, splits)
    model = onnx.load_from_string(content_of(graph, trained, TaskSpec("classify", tuple("abcde")), precision="float"))
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    written = [shapes[node.input[1]][0] for node in model.graph.node if node.op_type == "Conv"]
    best = [len(node.weight) for node in best_order(graph).nodes if isinstance(node, Conv)]
    assert written == best
    assert written != [len(node.weight) for node in graph.nodes if isinstance(node, Conv)]


# What docs/design/decisions/memory.md says.
@pytest.mark.parametrize(
    ("name", "own", "best"), [("ghostnet", 1_404_928, 1_254_400), ("xception", 6_914_880, 6_232_832)]
)
def test_nets_that_another_order_suits_better(name: str, own: int, best: int) -> None:
    graph = trace_spec(parse_name(name))
    assert (peak_as_ordered(graph).values, peak(graph).values) == (own, best)


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_0_complex_bypass", "shufflenet_v1"])
def test_nets_with_branches_are_searched_in_milliseconds(name: str) -> None:
    graph = trace_spec(ModelSpec(name))
    started = time.process_time()
    found = schedule(graph)
    assert time.process_time() - started < 0.05
    assert found.peak == found.least


# fmt: off
TABLE_3 = {  # MobileNetV2, channels and thousands of bytes at each size; what the net carries, cut as the paper cuts
    "mobilenet_v1":  {112: (64, 1605), 56: (128, 802), 28: (256, 401), 14: (512, 200),  7: (1024, 100), 1: (1024, 2)},
    "mobilenet_v2":  {112: (16, 401),  56: (24, 150),  28: (32, 50),   14: (96, 37),    7: (320, 31),   1: (1280, 2)},
    "shufflenet_v1": {                 56: (48, 301),  28: (400, 627), 14: (800, 313),  7: (1600, 156), 1: (1600, 3)},
}
# fmt: on


@pytest.mark.parametrize("name", TABLE_3)
def test_table_3_of_the_mobilenet_v2_paper(name: str) -> None:
    # The column called 2x, g=3 has the widths of two groups.
    spec = ModelSpec(name, 2.0, groups=2) if name == "shufflenet_v1" else ModelSpec(name)
    found = paper_memory(trace_spec(spec))
    assert {cell.size: (cell.channels, cell.bytes // 1000) for cell in found.cells} == TABLE_3[name]


def test_both_versions_of_table_3() -> None:
    v1, v2 = trace_spec(ModelSpec("mobilenet_v1")), trace_spec(ModelSpec("mobilenet_v2"))
    shuffle = trace_spec(ModelSpec("shufflenet_v1", 2.0, groups=2))
    last = [paper_memory(graph).last_version for graph in (v1, v2, shuffle)]
    assert last == [1_605_632, 401_408, 627_200]  # printed 1600K, 400K, 600K
    # In MobileNetV2's column a block's width stands beside the size of what it reads.
    first = [paper_memory(v1).first_version, paper_memory(v2, listed="read").first_version]
    assert [*first, paper_memory(shuffle).first_version] == [802_816, 200_704, 627_200]  # printed 800K, 200K, 600K
    listed = {cell.size: cell.channels for cell in paper_memory(v2, listed="read").cells}
    assert [listed[size] for size in (56, 28, 14, 7)] == [32, 64, 160, 320]
    assert paper_memory(v2).first_version == 150_528  # what the net carries at 56x56


def test_the_true_three_groups_need_more_than_table_3_says() -> None:
    cells = paper_memory(trace_spec(ModelSpec("shufflenet_v1", 2.0, groups=3))).cells
    assert [(cell.size, cell.channels, cell.bytes) for cell in cells][1] == (28, 480, 752_640)
