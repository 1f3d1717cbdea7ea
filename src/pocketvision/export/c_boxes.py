"""Boxes of a detector in C: what its int8 net says of every anchor, decoded and suppressed class by class.

Anchors are computed, not stored: 16 bytes each would be as large as a small net. No memory is needed but for the boxes.
"""

from pocketvision.graph.boxes import LARGEST_GROWTH, SCALES
from pocketvision.graph.graph import Graph, Suppress
from pocketvision.values import Manifest

_DECLARED = """
#define {upper}_ANCHORS {anchors}
#define {upper}_MOST_BOXES {most}
/* Scores from here on count, as was settled on validation images. */
#define {upper}_THRESHOLD {threshold}f

/* A box: corners as shares of the image, not clipped to it, the place of its label, and its score. */
typedef struct {{
  float y1, x1, y2, x2;
  int label;
  float score;
}} {name}_box;
"""
_PROTOTYPE = """
/* Finds the boxes with at least this score, best first, and returns how many. `location` is the net's first output,
   `score` its second; `found` has room for {upper}_MOST_BOXES. */
int {name}_boxes(const float *location, const float *score, float least, {name}_box *found);
"""
_SOURCE = """
#include <math.h>

static const int grids[{maps}] = {{{grids}}};
static const int shape_counts[{maps}] = {{{counts}}};
static const float shapes[{shapes}][2] = {{{sizes}}}; /* height and width */

static {name}_box decoded(const float *codes, int place) {{
  {name}_box box = {{0}};
  float y, x, height, width;
  int map = 0, first = 0, cell, shape;
  while (place >= grids[map] * grids[map] * shape_counts[map]) {{
    place -= grids[map] * grids[map] * shape_counts[map];
    first += shape_counts[map++];
  }}
  cell = place / shape_counts[map];
  shape = first + place % shape_counts[map];
  y = ((float)(cell / grids[map]) + 0.5f) / (float)grids[map] + codes[0] / {y}f * shapes[shape][0];
  x = ((float)(cell % grids[map]) + 0.5f) / (float)grids[map] + codes[1] / {x}f * shapes[shape][1];
  height = expf(fminf(codes[2] / {h}f, {growth}f)) * shapes[shape][0];
  width = expf(fminf(codes[3] / {w}f, {growth}f)) * shapes[shape][1];
  box.y1 = y - height / 2;
  box.x1 = x - width / 2;
  box.y2 = y + height / 2;
  box.x2 = x + width / 2;
  return box;
}}

static float overlap(const {name}_box *one, const {name}_box *other) {{
  float height = fminf(one->y2, other->y2) - fmaxf(one->y1, other->y1);
  float width = fminf(one->x2, other->x2) - fmaxf(one->x1, other->x1);
  float shared = fmaxf(height, 0) * fmaxf(width, 0);
  float both = (one->y2 - one->y1) * (one->x2 - one->x1) + (other->y2 - other->y1) * (other->x2 - other->x1) - shared;
  return both > 0 ? shared / both : 0;
}}

int {name}_boxes(const float *location, const float *score, float least, {name}_box *found) {{
  float last = INFINITY; /* Score and place of the box looked at before: the next one comes behind it. */
  int before = -1, count = 0;
  while (count < {upper}_MOST_BOXES) {{
    int label, place, best = -1, kept;
    float highest = -INFINITY;
    {name}_box box;
    for (label = 0; label < {upper}_CLASSES; label++) {{
      for (place = 0; place < {upper}_ANCHORS; place++) {{
        float value = score[place * {upper}_CLASSES + label];
        int number = label * {upper}_ANCHORS + place;
        if (value >= least && value > highest && (value < last || (value == last && number > before))) {{
          highest = value;
          best = number;
        }}
      }}
    }}
    if (best < 0) break;
    last = highest;
    before = best;
    box = decoded(location + 4 * (best % {upper}_ANCHORS), best % {upper}_ANCHORS);
    box.label = best / {upper}_ANCHORS;
    box.score = highest;
    for (kept = 0; kept < count; kept++) {{
      if (found[kept].label == box.label && overlap(&found[kept], &box) > {limit}f) break;
    }}
    if (kept == count) found[count++] = box;
  }}
  return count;
}}
"""


def declared(graph: Graph, manifest: Manifest, name: str) -> tuple[str, str]:
    """Return what the header says of boxes: before the declarations, and among them; nothing for other tasks."""
    node = graph.nodes[-1]
    if not isinstance(node, Suppress):
        return "", ""
    words = {"name": name, "upper": name.upper()}
    threshold = manifest.thresholds[0] if manifest.thresholds else node.score_threshold
    sizes = {"anchors": len(node.anchors), "most": node.most, "threshold": _number(threshold)}
    return _DECLARED.format(**words, **sizes), _PROTOTYPE.format(**words)


def source(graph: Graph, manifest: Manifest, name: str) -> str:
    """Return the function that finds boxes; empty for other tasks."""
    node = graph.nodes[-1]
    if not isinstance(node, Suppress):
        return ""
    assert manifest.model.detector is not None
    maps = manifest.model.detector.maps
    shapes = [shape for one in maps for shape in one.shapes]
    y, x, h, w = map(_number, SCALES)
    return _SOURCE.format(
        name=name,
        upper=name.upper(),
        maps=len(maps),
        grids=", ".join(str(-(-manifest.image.resolution // one.stride)) for one in maps),
        counts=", ".join(str(len(one.shapes)) for one in maps),
        shapes=len(shapes),
        sizes=", ".join(f"{{{_number(height)}f, {_number(width)}f}}" for height, width in shapes),
        y=y,
        x=x,
        h=h,
        w=w,
        growth=_number(LARGEST_GROWTH),
        limit=_number(node.iou_threshold),
    )


def _number(value: float) -> str:
    """Return a number with a point and all the digits that a C float has."""
    text = f"{value:.9g}"
    return text if set(text) & set(".e") else f"{text}.0"
