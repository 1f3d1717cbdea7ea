"""Where published weights come from, how their files are read, and how they get into a net.

`list`, `get`, `add` and `where` are the verbs of `pocketvision weights`.
"""

from pocketvision.weights.fetch import fetch
from pocketvision.weights.load import LoadReport, Weights, load_into, read
from pocketvision.weights.norms import restore_batch_norms
from pocketvision.weights.safetensors import save
from pocketvision.weights.sources import Source, find, sources
from pocketvision.weights.verbs import add, get, list, where

__all__ = [
    "LoadReport",
    "Source",
    "Weights",
    "add",
    "fetch",
    "find",
    "get",
    "list",
    "load_into",
    "read",
    "restore_batch_norms",
    "save",
    "sources",
    "where",
]
