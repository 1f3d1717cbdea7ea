"""QR codes as text, for terminals; the only module that loads segno."""

from itertools import zip_longest

_BLOCKS = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
"""Two rows a line; light modules are drawn, since most terminals are dark."""


def qr_code(text: str) -> str:
    """Return a QR code with its quiet zone, two modules a character in height, such as for an address."""
    import segno

    rows = [[module == 0 for module in row] for row in segno.make(text, error="m", micro=False).matrix_iter(border=2)]
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=[False] * len(rows[0]))
    return "\n".join("".join(_BLOCKS[both] for both in zip(*pair, strict=True)) for pair in pairs)
