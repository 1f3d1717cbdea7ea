"""How good answers are, in numpy: accuracy with its interval, confusion, calibration, found boxes."""
