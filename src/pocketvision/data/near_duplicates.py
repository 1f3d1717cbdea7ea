"""Near duplicates among many images, found without comparing each with each.

Two images are near duplicates where their hashes differ in at most 7 of 64 bits, their signatures' brightness
correlates by at least 0.99, and their colors agree; the shape does not matter, so a squashed copy is one too. Of four
parts of 16 bits of such hashes one differs in at most one bit. So images are sorted by each part, and each looks among
those that share the part but for one bit. Where very many share it, as in the frames of a fixed camera, an image looks
at the 128 next to it on either side only: groups are joined through others, and the work stays in proportion to the
images.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.perceptual_hash import Signatures, color_gap, contrast, hashes, likeness

BITS = 7
ALIKE = 0.99
"""Least correlation: saving and resizing again leave more, other images of one thing less."""
COLOR_GAP = 16
"""Levels of 255 by which colors may differ; more than that is another thing of the same shape."""
FLAT = 2.0
"""Standard deviation of brightness below which an image is of one tone, and its signature only noise."""
REACH = 128
"""Images looked at on either side."""
_PARTS, _PART_BITS = 4, np.uint64(16)
_AT_ONCE = 8192

Indices = NDArray[np.int64]


def near_groups(signatures: Signatures) -> Indices:
    """Return for each image the number of the first image of its group, int64 [n].

    `signatures` is uint8 [n, 288]. Images of one tone hold too little to tell a copy from a lookalike: each is alone.
    """
    parents = np.arange(len(signatures))
    told = np.flatnonzero(contrast(signatures) >= FLAT)
    codes = hashes(signatures[told])
    for one, other in _candidates(codes):
        ones, others = told[one], told[other]
        apart = parents[ones] != parents[others]
        apart &= np.bitwise_count(codes[one] ^ codes[other]) <= BITS
        ones, others = ones[apart], others[apart]
        if len(ones):
            same = _alike(signatures, ones, others)
            parents = _joined(parents, ones[same], others[same])
    return parents


def _candidates(codes: NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs of indices of codes that share a part but for one bit, each pair at least once."""
    for part in range(_PARTS):
        turn = np.uint64(part) * _PART_BITS
        turned = codes if part == 0 else (codes << turn) | (codes >> (np.uint64(64) - turn))
        order = np.argsort(turned)
        ranked = turned[order]
        for bit in (None, *range(48, 64)):
            yield from _neighbors(ranked, order, np.uint64(0 if bit is None else 1 << bit))


def _neighbors(ranked: NDArray[np.uint64], order: Indices, flip: np.uint64) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs whose first 16 bits are the same but for `flip`; in rounds, the next of each in every round."""
    wanted = ranked ^ flip
    if flip:  # of two that find each other, the smaller one looks
        seekers = np.flatnonzero(wanted > ranked)
        places = np.searchsorted(ranked, wanted[seekers])
        directions = [0, -1]
    else:
        seekers, places, directions = np.arange(len(ranked)), np.arange(1, len(ranked) + 1), [0]
    heads, wanted_heads = ranked >> np.uint64(48), wanted >> np.uint64(48)
    for direction in directions:
        active, at = seekers, places + direction
        for _ in range(REACH):
            inside = (at >= 0) & (at < len(ranked))
            active, at = active[inside], at[inside]
            same = heads[at] == wanted_heads[active]
            active, at = active[same], at[same]
            if not len(active):
                break
            yield order[active], order[at]
            at = at + (1 if direction == 0 else -1)


def _alike(signatures: Signatures, ones: Indices, others: Indices) -> NDArray[np.bool_]:
    parts = []
    for start in range(0, len(ones), _AT_ONCE):
        one, other = signatures[ones[start : start + _AT_ONCE]], signatures[others[start : start + _AT_ONCE]]
        parts.append((likeness(one, other) >= ALIKE) & (color_gap(one, other) <= COLOR_GAP))
    return np.concatenate(parts)


def _joined(parents: Indices, ones: Indices, others: Indices) -> Indices:
    """Return the parents after joining pairs; each image's is the smallest number of its group."""
    parents = parents.copy()
    while True:
        first, second = parents[ones], parents[others]
        if np.array_equal(first, second):
            return parents
        np.minimum.at(parents, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(parents, jumped := parents[parents]):
            parents = jumped
