"""The provider that the how-to shows is whole: it keeps the contract, as it stands on the page."""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from tests.support.house import ROOT


def _page():
    """The Python of the page, as a module."""
    text = (ROOT / "docs/how-to/add-a-provider.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shelf_of_the_page.py"
        path.write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)))
        spec = spec_from_file_location(path.stem, path)
        module = sys.modules[path.stem] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


TestShelf = _page().TestShelf
