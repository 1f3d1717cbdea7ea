"""Where a net is cut in two: below, blocks that keep their weights and answer once; above, those that learn."""



from pocketvision.models.blocks import Net

STRIDE = 16
"""The blocks below the first map of this stride keep their weights."""


def cut_of(net: Net, resolution: int, asked: int | None = None) -> int:
    """Return how many blocks keep their weights: as many as `asked`, else all of those before the maps shrink to a
    sixteenth of the image; 0 where nothing is below or above."""
    most = len(net.features) - 1
    if asked is not None:
        return min(asked, most)
    return 0
