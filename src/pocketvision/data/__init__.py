"""From a folder of pictures to labelled, split, prepared arrays.

- `check.check(data)`: the public verb; `check.load_dataset(data)` is the same and returns the data set as well.
- `layout.scan(data)`: what a folder, manifest or annotation file holds, by `layouts`; `kinds`: classes, attributes,
  boxes; `splits`: which picture trains, validates, tests, and splits.csv.
- `digits.resolve(data)`: a path, `hf://name`, or the word `digits`.
- `arrays.prepared(dataset, examples, spec)`: uint8 [n, resolution, resolution, 3]; `arrays.labels_of(examples)`: int64.
- `augment.augment(batch, resolution, settings, seed=...)`: random crops and colours for training (torch).
"""
