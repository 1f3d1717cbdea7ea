"""Exactly one of the labels is true of each image."""
