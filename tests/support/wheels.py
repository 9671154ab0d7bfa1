"""Real wheels for uv and pip to install, made here."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


def wheel(
    folder: Path,
    name: str,
    version: str,
    text: str,
    more: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> None:
    """A wheel with one module of this text, and more files by name."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        **(more or {}),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{about}/RECORD": "",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as made:
        for place, content in files.items():
            made.writestr(place, content)
