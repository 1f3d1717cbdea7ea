"""Graphs for counting: each net is traced once, whatever the resolution that is asked for."""

from dataclasses import replace
from functools import cache

from pocketvision.errors import GraphError
from pocketvision.graph.endings import softmax_ending, unplaced_ending
from pocketvision.graph.graph import Graph
from pocketvision.models.catalogue import family_of
from pocketvision.values import ModelSpec


def graph_at(spec: ModelSpec) -> Graph:
    """Return a net's graph without weights at the spec's resolution; shared by all callers.

    Raises UsageError for a setting that the net does not have.
    """
    usual = traced(replace(spec, resolution=family_of(spec.name).resolution))
    if usual.input.resolution == spec.resolution:
        return usual
    try:
        graph = usual.at(spec.resolution)
        _ = graph.shapes
    except GraphError:  # a classifier on flattened maps fits one resolution
        return traced(spec)
    return graph


def without_shapes(spec: ModelSpec) -> ModelSpec:
    """Return a detector whose anchors have no shapes: they cost nothing, and differ from data set to data set."""
    if spec.detector is None:
        return spec
    maps = tuple(replace(one, shapes=((1.0, 1.0),) * len(one.shapes)) for one in spec.detector.maps)
    return replace(spec, detector=replace(spec.detector, maps=maps))


@cache
def traced(spec: ModelSpec) -> Graph:
    """Trace a net; its graph is kept for the next one who asks."""
    from pocketvision.graph.trace import trace_spec

    return trace_spec(spec, ending=softmax_ending if spec.detector is None else unplaced_ending)
