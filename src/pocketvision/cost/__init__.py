"""What a net costs, read off its graph: parameters, multiply-adds, bytes, peak activation memory."""

from pocketvision.cost.count import KindCost, LayerCost, by_kind, count, layers
from pocketvision.cost.memory import Peak, peak, peak_activation_bytes, peak_as_ordered
from pocketvision.cost.paper_memory import PaperCell, PaperMemory, paper_memory

__all__ = [
    "KindCost",
    "LayerCost",
    "PaperCell",
    "PaperMemory",
    "Peak",
    "by_kind",
    "count",
    "layers",
    "paper_memory",
    "peak",
    "peak_activation_bytes",
    "peak_as_ordered",
]
