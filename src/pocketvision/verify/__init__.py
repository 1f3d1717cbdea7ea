"""The delivered file under test: from an image's bytes to a label's name, against the trained net and the budget."""
