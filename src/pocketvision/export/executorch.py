"""A graph as an ExecuTorch program: one call of XNNPACK, which runs the whole net, written in milliseconds.

Input uint8 [1, R, R, C], output probabilities float32 [1, classes]; of a detector the boxes and scores of all anchors,
[1, A, 4] and [1, A, classes], as no kernel of ExecuTorch suppresses boxes. The manifest and the labels are methods of
the program that return a text, and its digest stands at the end of the file. ExecuTorch traces and quantizes nothing:
its classes are filled and turned into bytes.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from pocketvision.errors import MissingExtra
from pocketvision.export.litert import written
from pocketvision.export.xnnpack import Delegate
from pocketvision.files import write_bytes
from pocketvision.graph.graph import Graph
from pocketvision.runtime.executorch import sealed
from pocketvision.runtime.quiet import quiet
from pocketvision.values import Manifest, to_line

_BACKEND = "XnnpackBackend"
_ALIGNMENT = 16
_BYTE, _FLOAT = 0, 6
_LEAF = '{"type": null, "context": null, "children_spec": []}'
_NOTHING = '{"type": "builtins.dict", "context": "[]", "children_spec": []}'
_TUPLE = '{"type": "builtins.tuple", "context": "null", "children_spec": '
_ONE = f"[1, {_TUPLE}[{_TUPLE}[{_LEAF}]}}, {_NOTHING}]}}]"
"""How torch says that a function takes one tensor."""


class _Modules(NamedTuple):
    """What of ExecuTorch is needed: classes of nodes and of programs, and what turns them into bytes."""

    nodes: Any
    nodes_file: Any
    schema: Any
    file: Any
    store: Any


class ProgramParts(NamedTuple):
    """How a program's net is divided between XNNPACK and the slower kernels of ExecuTorch."""

    delegated: int
    others: tuple[str, ...]


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write the graph with its manifest; return the file's size in bytes.

    Raises GraphError for float16 weights, and for a layer that has no kernel.
    """
    content = to_bytes(graph, manifest)
    write_bytes(path, content)
    return len(content)


def to_bytes(graph: Graph, manifest: Manifest | None = None) -> bytes:
    """Return the program; without a manifest it can be run, but not opened as an artefact."""
    executorch = _executorch()
    schema = executorch.schema
    net = written(graph, ends="decoded")
    ends = net.ends()
    nodes = Delegate(net.file, ends, executorch.nodes)
    content = executorch.nodes_file.serialize_xnnpack_binary(nodes.graph(), bytearray())
    plans = [_net(schema, [net.file.tensors[place].shape for place in ends])]
    if manifest:
        text = to_line(manifest)
        plans += [_text(schema, "labels", "\n".join(manifest.labels)), _text(schema, "pocketvision", text)]
    data = [schema.BackendDelegateInlineData(bytes(content))]
    program = schema.Program(0, plans, [schema.Buffer(b"")], data, [], schema.SubsegmentOffsets(0, []), [], [])
    file = executorch.file.PTEFile(program, named_data=_named(executorch.store, nodes.constants))
    return sealed(
        bytes(executorch.file.serialize_pte_binary(file, extract_delegate_segments=True, segment_alignment=_ALIGNMENT))
    )


def parts(content: bytes) -> ProgramParts:
    """Return how many stretches of a program's net XNNPACK runs, and what is left to other kernels."""
    executorch = _executorch()
    schema, program = executorch.schema, executorch.file.deserialize_pte_binary(content).program
    plan = next(plan for plan in program.execution_plan if plan.name == "forward")
    calls = [step.instr_args for chain in plan.chains for step in chain.instructions]
    others = tuple(plan.operators[call.op_index].name for call in calls if isinstance(call, schema.KernelCall))
    return ProgramParts(sum(isinstance(call, schema.DelegateCall) for call in calls), others)


def _net(schema: Any, shapes: list[tuple[int, ...]]) -> Any:
    """Return the method `forward`: an image goes to XNNPACK, and probabilities come back, or boxes and scores.

    `shapes` are the image's and those of what comes out.
    """
    values: list[Any] = []
    used = 0
    for shape in shapes:
        kind, width = (_FLOAT, 4) if values else (_BYTE, 1)
        place, static = schema.AllocationDetails(1, used, 0), schema.TensorShapeDynamism.STATIC
        order, sizes = list(range(len(shape))), [int(size) for size in shape]
        values.append(schema.Tensor(schema.ScalarType(kind), 0, sizes, order, False, 0, 0, place, static))
        size = width * math.prod(sizes)
        used += size + -size % _ALIGNMENT
    outputs = list(range(1, len(values)))
    call = schema.Instruction(schema.DelegateCall(0, [0, *outputs]))
    backend = schema.BackendDelegate(_BACKEND, schema.BackendDelegateDataReference(schema.DataLocation.INLINE, 0), [])
    return schema.ExecutionPlan(
        name="forward",
        container_meta_type=schema.ContainerMetadata(_ONE, _leaves(len(outputs))),
        values=[schema.EValue(value) for value in values],
        inputs=[0],
        outputs=outputs,
        chains=[schema.Chain([], [], [call], None)],
        operators=[],
        delegates=[backend],
        non_const_buffer_sizes=[0, used],
    )


def _leaves(count: int) -> str:
    """Say as torch does that a function returns so many tensors."""
    return f"[1, {_LEAF}]" if count == 1 else f"[1, {_TUPLE}[{', '.join([_LEAF] * count)}]}}]"


def _named(store: Any, constants: dict[str, bytes]) -> Any:
    """Return constants as data of the program that XNNPACK finds by their keys."""
    data = store.NamedDataStore()
    for key, content in constants.items():
        data.add_named_data(key, content, _ALIGNMENT)
    return data.get_named_data_store_output()


def _text(schema: Any, name: str, text: str) -> Any:
    """Return a method that takes nothing and returns a text."""
    return schema.ExecutionPlan(
        name=name,
        container_meta_type=schema.ContainerMetadata("", f"[1, {_LEAF}]"),
        values=[schema.EValue(schema.String(text))],
        inputs=[],
        outputs=[0],
        chains=[schema.Chain([], [], [], None)],
        operators=[],
        delegates=[],
        non_const_buffer_sizes=[0],
    )


def _executorch() -> _Modules:
    try:
        with quiet():
            from executorch.backends.xnnpack.serialization import xnnpack_graph_schema, xnnpack_graph_serialize
            from executorch.exir import schema
            from executorch.exir._serialize import _named_data_store, _program
    except ImportError as error:
        raise MissingExtra("executorch", "executorch") from error
    return _Modules(xnnpack_graph_schema, xnnpack_graph_serialize, schema, _program, _named_data_store)
