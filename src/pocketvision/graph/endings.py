"""What stands at the end of a graph: the tasks choose, and tracing puts it there."""

from collections.abc import Callable

from pocketvision.graph.graph import Ending, Sigmoid, Softmax

Ends = Callable[[tuple[str, ...]], tuple[Ending, ...]]
"""Makes the endings of a graph, in running order, of the names of what the net gives; each task has its own."""


def softmax_ending(outputs: tuple[str, ...]) -> tuple[Ending, ...]:
    """Return the ending of a net whose labels exclude each other."""
    return (Softmax("probabilities", outputs),)


def unplaced_ending(outputs: tuple[str, ...]) -> tuple[Ending, ...]:
    """Return the ending of a detector without its anchors, whose number follows from the resolution: for counting."""
    _, logits = outputs
    return (Sigmoid("scores", (logits,)),)


def sigmoid_ending(outputs: tuple[str, ...]) -> tuple[Ending, ...]:
    """Return the ending of a net any number of whose labels are true."""
    return (Sigmoid("probabilities", outputs),)
