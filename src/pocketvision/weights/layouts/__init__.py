"""The parameter names that other projects use, and ours for them: one file a project."""

from pocketvision.weights.layouts.rename import Layout, Renamed, rename

__all__ = ["Layout", "Renamed", "rename"]
