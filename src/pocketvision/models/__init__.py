"""What the papers say: one paper, one file; the file's name is the family's name."""

from pocketvision.models.catalogue import (
    build,
    build_spec,
    families,
    family_of,
    names,
    parse_name,
)

__all__ = [
    "build",
    "build_spec",
    "families",
    "family_of",
    "names",
    "parse_name",
]
