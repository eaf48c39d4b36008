"""Tables for a terminal: columns as wide as their longest cell, two spaces apart, numbers to the right."""

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table.

    >>> print(table(("what", "n"), [("errors", "7"), ("x", "1,234")]))
    what        n
    errors      7
    x       1,234
    """
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = [_numeric([row[column] for row in rows]) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _numeric(cells: Sequence[str]) -> bool:
    return any(cells) and all(not cell or cell[0].isdigit() or cell[0] == "-" for cell in cells)
