"""From a folder of images to labeled, split, prepared arrays.

- `check.load_dataset(data)`: what `fit` begins with; `check.examine(listing)` is the same for data that no net can be
  trained on; `inspect`, `perceptual_hash`, `near_duplicates`, `duplicates` and `statistics` are its parts; `fix` writes
  a cleaned table.
- `layout.scan(data)`: what a folder, manifest or annotation file holds, by `layouts`; `kinds`: classes, attributes,
  boxes; `splits`: which image trains, validates, tests, and splits.csv.
- `digits.resolve(data)`: a path, `hf://name`, or the word `digits`.
- `arrays.prepared(dataset, examples, spec)`: uint8 [n, resolution, resolution, 3].
- `augment.augment(batch, resolution, settings, seed=...)`: random crops and colors for training (torch).
"""
