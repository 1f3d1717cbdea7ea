"""Boxes of things: where they are and what they are, any number in an image."""
