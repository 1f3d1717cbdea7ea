"""Linear probes: features of frozen nets, computed once, and heads fitted to them in seconds."""
