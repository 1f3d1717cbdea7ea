"""The whole chain: check, split, choose, train, compress, export, verify, report."""
