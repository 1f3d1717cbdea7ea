"""How long one image takes: measured in turns with a reference net, which is the same on every machine."""
