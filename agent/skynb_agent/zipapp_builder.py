"""Builds agent.pyz: the package as one file that any Python >= 3.8 runs.

It carries the modules compiled as well, which a Python of the server's own version takes as they are; any
other compiles the sources beside them.
"""

from __future__ import annotations

from pathlib import Path

_SHEBANG = b"#!/usr/bin/env python3\n"
_MAIN = b"import sys\nfrom skynb_agent.cli import main\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_zipapp(destination: Path) -> str:
    """Write the agent to `destination` and return its sha256; one Python makes equal bytes of equal sources.

    Called by the server before it ships the agent to a node.
    """
    import hashlib
    import io
    import zipfile

    package = Path(__file__).resolve().parent
    content = io.BytesIO()
    content.write(_SHEBANG)
    with zipfile.ZipFile(content, "w") as archive:
        for source in sorted(package.glob("*.py")):
            name = f"{package.name}/{source.name}"
            _add(archive, name, source.read_bytes())
            _add(archive, f"{name}c", _compiled(source, name))
        _add(archive, "__main__.py", _MAIN)
    blob = content.getvalue()
    temporary = destination.with_name(f".{destination.name}.tmp")
    temporary.write_bytes(blob)
    temporary.chmod(0o755)
    temporary.replace(destination)
    return hashlib.sha256(blob).hexdigest()


def _compiled(source: Path, name: str) -> bytes:
    """Without a look at the source's time, which a zip archive keeps in the local time of no known place."""
    import py_compile
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/compiled"
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), place, name, doraise=True, invalidation_mode=unchecked)
        return Path(place).read_bytes()


def _add(archive: object, name: str, data: bytes) -> None:
    import zipfile

    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    entry.create_system = 3
    assert isinstance(archive, zipfile.ZipFile)  # noqa: S101 - the late import hides the type
    archive.writestr(entry, data)
