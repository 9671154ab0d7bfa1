"""What executed notebooks show."""

from __future__ import annotations

from typing import Any


def output_of(notebook: Any, fragment: str) -> str:
    """All text that the first cell with this fragment put out."""
    cell = next(cell for cell in notebook.cells if fragment in cell.source)
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)
