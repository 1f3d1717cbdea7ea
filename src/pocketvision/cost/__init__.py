"""What a net costs, read off its graph: parameters, multiply-adds, bytes, peak activation memory."""

from pocketvision.cost.count import LayerCost, count, layers
from pocketvision.cost.memory import peak_activation_bytes

__all__ = ["LayerCost", "count", "layers", "peak_activation_bytes"]
