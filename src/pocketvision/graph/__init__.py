"""What the phone runs: a small typed inference graph, its tracer and its numpy reference."""
