"""The example notebooks, executed in a home of their own, and what they show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BINDER = Path(__file__).resolve().parents[2] / "binder"
SECONDS = 280


def executed(name: str, folder: Path, beside: Sequence[str] = ()) -> Any:
    """The notebook of that name as `nbconvert` executes it in `folder`; nothing of it stays running."""
    import nbformat

    for one in (name, *beside):
        shutil.copy(BINDER / f"{one}.ipynb", folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    env = os.environ | {"SKYNB_HOME": str(folder / "home"), "PATH": path}
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output"]
    command += [f"{name}.done.ipynb", f"{name}.ipynb"]
    options: dict[str, Any] = {"cwd": folder, "env": env, "capture_output": True, "text": True}
    try:
        ran = subprocess.run(command, timeout=SECONDS, check=False, **options)
    finally:
        for verb in (["down", "--all", "-y"], ["server", "stop"]):
            subprocess.run([sys.executable, "-m", "skynb.cli", *verb], check=False, timeout=60, **options)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return nbformat.read(folder / f"{name}.done.ipynb", 4)


def output_of(notebook: Any, fragment: str) -> str:
    """All text that the first cell with this fragment put out."""
    cell = next(cell for cell in notebook.cells if fragment in cell.source)
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)
