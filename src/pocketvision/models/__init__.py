"""What the papers say: one paper, one file; the file's name is the family's name."""

from pocketvision.models.catalogue import (
    CatalogueLine,
    build,
    build_spec,
    families,
    family_of,
    models,
    names,
    parse_name,
    published,
)

__all__ = [
    "CatalogueLine",
    "build",
    "build_spec",
    "families",
    "family_of",
    "models",
    "names",
    "parse_name",
    "published",
]
