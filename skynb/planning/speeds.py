"""How fast accelerators are beside each other, as a printed assumption and nothing more.

One number each: peak dense 16-bit TFLOPS (FP16 or BF16 matrices, summed in 32 bits where the maker tells that
apart) as the makers' data sheets give it, as known in 2026-11 and not held against the sheets one by one.
Real work reaches a part of it that differs by model, memory and software.
"""

from __future__ import annotations

from skynb_catalog import resolve

_TFLOPS: dict[str, float | None] = {
    # NVIDIA, data centre
    "A10": 125,
    "A100": 312,
    "A100-80GB": 312,
    "A10G": 70,
    "A30": 165,
    "A40": 149.7,
    "A800": 312,
    "B200": 2250,
    "B300": 2250,
    "GB200": 2500,
    "GB300": 2500,
    "GH200": 990,
    "H100": 989.4,
    "H100-MEGA": 989.4,
    "H100-NVL": 835.5,
    "H20": 148,
    "H200": 989.4,
    "H800": 989.4,
    "L4": 121,
    "L40": 181,
    "L40S": 362,
    "P100": 18.7,
    "T4": 65,
    "V100": 125,
    "V100-32GB": 125,
    # NVIDIA, workstations and desktops
    "A4000": 76.7,
    "A5000": 111.1,
    "A6000": 154.8,
    "RTX-PRO-6000": 503.8,
    "RTX3070": 40.6,
    "RTX3080": 59.5,
    "RTX3090": 71,
    "RTX4080": 97.5,
    "RTX4090": 165.2,
    "RTX5080": 112.6,
    "RTX5090": 209.5,
    "RTX6000": 130.5,
    "RTX6000-Ada": 364.2,
    # other makers
    "AI100": 175,
    "Gaudi2": 432,
    "Inferentia": 64,
    "Inferentia2": 190,
    "MI210": 181,
    "MI25": 24.6,
    "MI250": 362.1,
    "MI300X": 1307.4,
    "MI325X": 1307.4,
    "MI355X": 2516.6,
    "Trainium": 190,
    "Trainium2": 667,
    # no 16-bit matrix arithmetic worth the name, or no figure that is sure
    **dict.fromkeys(("GTX1080Ti", "K520", "K80", "M4000", "M60", "P4", "P40", "P4000"), None),
    **dict.fromkeys(("Gaudi", "RTX-PRO-4500", "RTX3060", "RTX4060Ti", "T4g", "V520", "V620", "V710"), None),
}
# A unit of the number that ends a TPU's name: half a chip (a core) up to v4 and for v5p, else a chip.
_TPU_TFLOPS = {"v2": 22.5, "v3": 61.5, "v4": 137.5, "v5litepod": 197, "v5p": 229.5, "v6e": 918}


def tflops(accelerator: str) -> float | None:
    """Peak dense 16-bit TFLOPS of one (of the whole slice for a TPU); None if not known.

    Raises UnknownAcceleratorError for a name nobody knows.
    """
    name = resolve(accelerator)[0].name
    if name.startswith("tpu-"):
        _, generation, units = name.split("-")
        return _TPU_TFLOPS[generation] * int(units)
    return _TFLOPS[name]


def scaled_hours(hours: float, of: str, to: str) -> float | None:
    """What takes so long on accelerator `of` takes about so long on `to`; None if a speed is not known."""
    known, wanted = tflops(of), tflops(to)
    return None if known is None or wanted is None else hours * known / wanted
