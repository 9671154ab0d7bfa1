"""What a kernel holds, kept in a file that the same job's next attempt takes up. Run inside of the kernel.

A file is used only if it was sealed with this job's own key, for the same cells: else it is no pickle of
ours, and nothing of it is read. Python >= 3.8 and cloudpickle.
"""

from __future__ import annotations

import hmac
import os
import random
import re
import sys
from pathlib import Path
from typing import Any

_SEAL = 32  # bytes
_OF_IPYTHON = re.compile("_+|_(i|oh|dh|ih)|_i{2,3}|_i?[0-9]+|In|Out|exit|quit|open|get_ipython")


def keep(shell: Any, path: str, cells: str, spare: list[str]) -> None:
    """Write all that the notebook's names hold. TypeError if one cannot be.

    cells: what tells the cells whose work it is. spare: names that are left out if they cannot be written.
    """
    import cloudpickle

    names = {
        name: value
        for name, value in shell.user_ns.items()
        if name not in shell.user_ns_hidden and not _OF_IPYTHON.fullmatch(name)
    }
    held = {"cwd": str(Path.cwd()), "random": random.getstate(), "numpy": None}
    if "numpy" in sys.modules:
        held["numpy"] = sys.modules["numpy"].random.get_state()
    try:
        content = cloudpickle.dumps({**held, "names": names})
    except Exception:  # noqa: BLE001 - objects raise what they like
        left_out = _unwritable(names)
        if refused := sorted(set(left_out) - set(spare)):
            told = f"{refused[0]}: {left_out[refused[0]]}"
            raise TypeError(told) from None
        kept = {name: value for name, value in names.items() if name not in left_out}
        content = cloudpickle.dumps({**held, "names": kept})
    place = Path(path)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}")
    with draft.open("wb") as file:
        file.write(_sealed(cells, content) + content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(place)
    for other in place.parent.glob("[!.]*"):
        if other != place:
            other.unlink()


def take(shell: Any, path: str, cells: str) -> None:
    """Give the notebook's names what they held. ValueError for a file that is not this job's own."""
    import pickle

    whole = Path(path).read_bytes()
    seal, content = whole[:_SEAL], whole[_SEAL:]
    if not hmac.compare_digest(seal, _sealed(cells, content)):
        raise ValueError("it is not this job's, or not of these cells")
    held = pickle.loads(content)  # noqa: S301 - sealed by this job, with a key that nobody else has
    shell.user_ns.update(held["names"])
    random.setstate(held["random"])
    if held["numpy"] is not None:
        import numpy as np

        np.random.set_state(held["numpy"])  # noqa: NPY002 - the state that notebooks draw from
    if Path(held["cwd"]).is_dir():
        os.chdir(held["cwd"])


def _sealed(cells: str, content: bytes) -> bytes:
    return hmac.digest(bytes.fromhex(os.environ["SKYNB_SESSION_KEY"]), cells.encode() + content, "sha256")


def _unwritable(names: dict[str, Any]) -> dict[str, str]:
    import cloudpickle

    found = {}
    for name, value in names.items():
        try:
            cloudpickle.dumps(value)
        except Exception as error:  # noqa: BLE001 - as above
            found[name] = f"{type(value).__name__} cannot be written: {error}"
    return found
