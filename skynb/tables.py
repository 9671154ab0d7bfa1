"""Tables as text and as HTML: one renderer for plans, price lists, clusters, jobs and bills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from zlib import crc32

Rows = Sequence[Sequence[str]]
Paint = Callable[[str, str], str]  # (column, padded cell) -> the cell with colours
Style = Callable[[int, int], str]  # (row, column) -> CSS of that cell, or nothing

# A number at the start of a cell counts as one, whatever stands around it; cells without come last.
_SORT = """for (const table of document.getElementsByClassName("NAME")) {
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/[$,]/g, ""));
    return /^[-$\\d.]/.test(text) && !isNaN(number) ? [0, number, text] : [1, 0, text];
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.onclick = () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
      const order = (a, b) => a[0] - b[0] || down * (a[1] - b[1] || a[2].localeCompare(b[2]));
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => order(value(a, column), value(b, column)));
      table.tBodies[0].append(...rows);
    };
    head.onkeydown = (event) => { if (event.key === "Enter") head.onclick(); };
  });
}"""


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


def html_table(head: Sequence[str], rows: Rows, style: Style | None = None, *, sortable: bool = False) -> str:
    """An HTML table that inherits its colours and scrolls when it is too wide; every cell is escaped.

    sortable: a click on a head, or Enter, sorts by its column. Where scripts do not run, the order stays.
    """

    def cell(row: int, column: int, text: str) -> str:
        css = style(row, column) if style else ""
        return f'<td style="{css}">{escape(text)}</td>' if css else f"<td>{escape(text)}</td>"

    body = "".join(
        "<tr>" + "".join(cell(number, column, text) for column, text in enumerate(row)) + "</tr>"
        for number, row in enumerate(rows)
    )
    open_head = '<th tabindex="0" style="cursor: pointer">' if sortable else "<th>"
    heads = "".join(f"{open_head}{escape(name)}</th>" for name in head)
    content = f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>"
    if not sortable:
        return f'<div style="overflow-x:auto"><table>{content}</table></div>'
    name = f"skynb-{crc32(content.encode()):08x}"
    script = f"<script>{_SORT.replace('NAME', name)}</script>"
    return f'<div style="overflow-x:auto"><table class="{name}">{content}</table></div>{script}'


def price_bars(head: Sequence[str], prices: Sequence[int]) -> Style:
    """A bar behind each price in the column `$/h`, as long as the price is near the dearest."""
    dearest = max(prices, default=0)
    shade = "rgba(33, 150, 243, 0.25)"

    def style(row: int, column: int) -> str:
        if head[column] != "$/h":
            return ""
        percent = round(100 * prices[row] / dearest) if dearest else 0
        return f"background: linear-gradient(to right, {shade} {percent}%, transparent {percent}%)"

    return style
