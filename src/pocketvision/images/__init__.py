"""From bytes to the net's input, the one way for training, checking, predicting and serving.

- `decode.decode(source)`: an image's bytes or path -> uint8 RGB [height, width, 3]; `decode.read`: and its format.
- `prepare.prepare(pixels, spec)`: those pixels -> uint8 RGB [resolution, resolution, 3]; `prepare.load` does both.
"""
