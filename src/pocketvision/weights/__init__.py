"""Where published weights come from, how their files are read, and how they get into a net."""

from pocketvision.weights.load import LoadReport, Weights, load_into, read, save
from pocketvision.weights.norms import restore_batch_norms
from pocketvision.weights.sources import Source, fetch, find, sources

__all__ = [
    "LoadReport",
    "Source",
    "Weights",
    "fetch",
    "find",
    "load_into",
    "read",
    "restore_batch_norms",
    "save",
    "sources",
]
