"""Tables as text and as HTML: one renderer for plans, price lists, clusters, jobs and bills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

Rows = Sequence[Sequence[str]]
Paint = Callable[[str, str], str]  # (column, padded cell) -> the cell with colours
Style = Callable[[int, int], str]  # (row, column) -> CSS of that cell, or nothing


def text_table(head: Sequence[str], rows: Rows, paint: Paint | None = None) -> list[str]:
    """Lines with columns as wide as their widest cell, the head first."""
    rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str], paint: Paint | None) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        if paint is not None:
            padded = [paint(name, cell) for name, cell in zip(head, padded, strict=True)]
        return "  ".join(padded).rstrip()

    return [line(head, None), *(line(row, paint) for row in rows)]


def html_table(head: Sequence[str], rows: Rows, style: Style | None = None) -> str:
    """An HTML table that inherits its colours and scrolls when it is too wide; every cell is escaped."""

    def cell(row: int, column: int, text: str) -> str:
        css = style(row, column) if style else ""
        return f'<td style="{css}">{escape(text)}</td>' if css else f"<td>{escape(text)}</td>"

    body = "".join(
        "<tr>" + "".join(cell(number, column, text) for column, text in enumerate(row)) + "</tr>"
        for number, row in enumerate(rows)
    )
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'
