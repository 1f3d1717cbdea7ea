"""Options as frozen records: name, type, default, range and help of each stand here, once."""
