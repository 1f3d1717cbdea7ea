"""The steps of compression, one record a file: its fields are its settings, calling it does it."""
