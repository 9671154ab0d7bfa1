"""The one vocabulary of accelerators: canonical names, their memory and vendor, and every other spelling.

Names match without regard to case, spaces, dashes and underscores.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from skynb_catalog.errors import UnknownAcceleratorError


class Accelerator(NamedTuple):
    """A canonical name, its vendor, and the nominal GiB of one (of the whole slice for a TPU)."""

    name: str
    vendor: str
    memory_gib: float


_KNOWN = {
    "nvidia": """A10:24 A100:40 A100-80GB:80 A10G:24 A30:24 A40:48 A4000:16 A5000:24 A6000:48 A800:80 B200:180
        B300:288 GB200:192 GB300:278 GH200:96 GTX1080Ti:11 H100:80 H100-MEGA:80 H100-NVL:94 H20:96 H200:141
        H800:80 K520:4 K80:12 L4:24 L40:48 L40S:48 M4000:8 M60:8 P100:16 P4:8 P40:24 P4000:8 RTX-PRO-4500:32
        RTX-PRO-6000:96 RTX3060:12 RTX3070:8 RTX3080:10 RTX3090:24 RTX4060Ti:16 RTX4080:16 RTX4090:24
        RTX5080:16
        RTX5090:32 RTX6000:24 RTX6000-Ada:48 T4:16 T4g:16 V100:16 V100-32GB:32""",
    "amd": "MI25:16 MI210:64 MI250:128 MI300X:192 MI325X:256 MI355X:288 V520:8 V620:32 V710:28",
    "aws": "Inferentia:8 Inferentia2:32 Trainium:32 Trainium2:96",
    "intel": "Gaudi:32 Gaudi2:96",
    "qualcomm": "AI100:16",
}

_ALIASES = {
    "RTX-PRO-6000": "RTXPRO6000S RTXPRO6000WS RTXPRO6000-WK",
    "A4000": "RTXA4000",
    "A5000": "RTXA5000",
    "A6000": "RTXA6000",
    "H100": "H100-80GB H100-SXM H100-SXM5 H100-NVLINK H100-PCIe H100-80GB-SXM H100-80GB-HBM3 H100-SXM5-80GB",
    "H100-MEGA": "H100-MEGA-80GB",
    "H200": "H200-SXM H200-141GB",
    "A100-80GB": "A100-80GB-SXM A100-80GB-PCIe A100-SXM4-80GB A100-PCIe-80GB",
    "A100": "A100-40GB A100-SXM4 A100-SXM4-40GB A100-PCIe A100-PCIe-40GB A100-40GB-PCIe A100-40GB-SXM",
    "V100": "V100-16GB V100-SXM2 V100-SXM2-16GB",
    "V100-32GB": "V100-SXM2-32GB",
    "V520": "RadeonProV520",
    "V710": "RadeonProV710",
    "V620": "RadeonProV620",
    "MI25": "RadeonMI25 RadeonInstinctMI25",
    "AI100": "QualcommAI100",
    "Gaudi": "GaudiHL-205",
}

_GPU_VENDORS = frozenset({"nvidia", "amd"})
_TPU = r"tpu(v2|v3|v4|v5e|v5litepod|v5p|v6e)(\d+)"
# GiB for each unit of the number that ends a TPU's name: a core up to v5p (v4 and v5p: half a chip), else a
# chip.
_TPU_GIB = {"v2": 8, "v3": 16, "v4": 16, "v5litepod": 16, "v5p": 47.5, "v6e": 32}
_MEMORY = r"(?:([a-z]+):)?(\d+)([gmt])b?(\+?)"
_DRIVER_NOISE = r"\b(nvidia|tesla|geforce|quadro|graphics|gpu|generation)\b"


def _key(name: str) -> str:
    return "".join(name.replace("_", " ").replace("-", " ").split()).casefold()


@cache
def _vocabulary() -> dict[str, Accelerator]:
    known: dict[str, Accelerator] = {}
    for vendor, entries in _KNOWN.items():
        for entry in entries.split():
            name, _, memory = entry.rpartition(":")
            known[_key(name)] = Accelerator(name, vendor, float(memory))
    for name, spellings in _ALIASES.items():
        for spelling in spellings.split():
            known[_key(spelling)] = known[_key(name)]
    return known


def names() -> tuple[str, ...]:
    """Every canonical name of the vocabulary, sorted; TPU slices of any size are known beside them."""
    return tuple(sorted({known.name for known in _vocabulary().values()}))


def resolve(name: str) -> tuple[Accelerator, ...]:
    """The accelerators that a task's spelling means: one for a name, any number for a memory pattern.

    `A100-80GB`, `h100_sxm` and `tpu-v6e-8` are names; `80GB`, `16GB+` and `nvidia:80GB` are patterns, which
    mean GPUs only. Raises UnknownAcceleratorError with the nearest spellings.
    """
    text = name.strip()
    one = _vocabulary().get(_key(text)) or _tpu(text)
    if one:
        return (one,)
    pattern = re.fullmatch(_MEMORY, text.casefold())
    if pattern:
        vendor, digits, unit, plus = pattern.groups()
        gib = int(digits) * {"m": 1 / 1024, "g": 1, "t": 1024}[unit]
        found = by_memory(gib, at_least=bool(plus), vendor=vendor)
        if found:
            return found
        raise UnknownAcceleratorError(name, ())
    raise UnknownAcceleratorError(name, _nearest(text))


def by_memory(gib: float, *, at_least: bool = False, vendor: str | None = None) -> tuple[Accelerator, ...]:
    """Every GPU with this much memory (GiB), or at least as much, of one vendor or of any."""
    wanted = _GPU_VENDORS if vendor is None else {vendor.casefold()}
    fitting = {
        known
        for known in _vocabulary().values()
        if known.vendor in wanted and (known.memory_gib >= gib if at_least else known.memory_gib == gib)
    }
    return tuple(sorted(fitting))


def by_driver_name(name: str, memory_gib: float) -> Accelerator | None:
    """The accelerator that a GPU driver calls e.g. `NVIDIA A100-SXM4-80GB`; None if nobody knows it.

    memory_gib is what the driver reports; it tells the two sizes of A100 and V100 apart.
    """
    words = re.split(r"[\s-]+", re.sub(_DRIVER_NOISE, " ", name, flags=re.IGNORECASE).strip())
    for end in range(len(words), 0, -1):
        known = _vocabulary().get(_key("".join(words[:end])))
        if known:
            larger = {"A100": "A100-80GB", "V100": "V100-32GB"}.get(known.name)
            if larger and memory_gib > known.memory_gib * 1.2:
                return _vocabulary()[_key(larger)]
            return known
    return None


def _tpu(text: str) -> Accelerator | None:
    key = _key(text)
    matched = re.fullmatch(_TPU, key) if key.startswith("tpu") else None
    if matched is None:
        return None
    generation = {"v5e": "v5litepod"}.get(matched[1], matched[1])
    return Accelerator(f"tpu-{generation}-{matched[2]}", "google", _TPU_GIB[generation] * int(matched[2]))


def _nearest(text: str) -> tuple[str, ...]:
    from difflib import get_close_matches  # only a mistake pays for it

    found = get_close_matches(_key(text), [*_vocabulary(), "tpuv6e8", "tpuv5p8"], n=5, cutoff=0.5)
    named = (_vocabulary()[key].name if key in _vocabulary() else resolve(key)[0].name for key in found)
    return tuple(dict.fromkeys(named))[:3]
