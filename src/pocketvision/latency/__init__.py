"""How long one picture takes: measured in turns with a reference net, which is the same on every machine."""
