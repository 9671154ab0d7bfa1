from __future__ import annotations

import pytest

from skynb_catalog import UnknownAcceleratorError, by_driver_name, by_memory, resolve
from skynb_catalog.accelerators import names

ALIASES = {
    "RTX-PRO-6000": ["RTXPRO6000", "RTXPRO6000S", "RTXPRO6000WS", "RTXPRO6000-WK", "RTX PRO 6000"],
    "RTX-PRO-4500": ["RTXPRO4500"],
    "A4000": ["RTXA4000"],
    "A5000": ["RTXA5000"],
    "A6000": ["RTXA6000"],
    "RTX6000-Ada": ["RTX6000Ada"],
    "H100": ["H100-80GB", "H100-SXM", "H100-NVLINK", "H100-PCIe"],
    "H100-MEGA": ["H100-MEGA-80GB"],
    "H200": ["H200-SXM"],
    "A100-80GB": ["A100-80GB-SXM", "A100-SXM4-80GB", "a100_80gb"],
    "A100": ["A100-40GB", "A100-SXM4"],
    "V520": ["Radeon Pro V520"],
    "MI25": ["Radeon MI25"],
    "T4g": ["T4G"],
    "AI100": ["Qualcomm AI100"],
    "tpu-v6e-8": ["TPU-V6E-8", "tpu_v6e_8"],
    "tpu-v5litepod-4": ["tpu-v5e-4"],
}


@pytest.mark.parametrize(("name", "spelling"), [(n, s) for n, all_ in ALIASES.items() for s in (n, *all_)])
def test_every_spelling_means_its_canonical_name(name, spelling):
    """SkyPilot's files run unchanged: each spelling, in any case, resolves to the one name."""
    for written in (spelling, spelling.lower(), spelling.upper(), f" {spelling} "):
        assert [one.name for one in resolve(written)] == [name]


def test_near_names_stay_apart():
    """H100-NVL, H100-MEGA, T4 and A100 are not their neighbours."""
    for name in ("H100-NVL", "H100-MEGA", "T4", "T4g", "A100", "A100-80GB", "V100", "V100-32GB", "RTX6000"):
        assert resolve(name)[0].name == name


def test_every_name_resolves_to_itself():
    """The vocabulary is closed: its names are canonical, with memory and vendor."""
    for name in names():
        (one,) = resolve(name)
        assert one.name == name
        assert one.memory_gib > 0
        assert one.vendor


def test_memory_patterns_mean_gpus_of_that_memory():
    """`80GB` is exact, `80GB+` at least, a vendor narrows, TPUs and other chips never come unasked."""
    exact = {one.name for one in resolve("80GB")}
    assert {"A100-80GB", "H100", "H100-MEGA"} <= exact
    assert "H200" not in exact
    larger = resolve("80gb+")
    assert {"H200", "MI300X"} <= {one.name for one in larger}
    assert all(one.memory_gib >= 80 and one.vendor in {"nvidia", "amd"} for one in larger)
    assert {one.vendor for one in resolve("nvidia:80GB+")} == {"nvidia"}
    assert resolve("16GB") == resolve("16384MB") == by_memory(16)
    assert [one.name for one in by_memory(32, vendor="aws")] == ["Inferentia2", "Trainium"]


@pytest.mark.parametrize(
    ("wrong", "right"), [("H1000", "H100"), ("RTX4900", "RTX4090"), ("tpu-v6-8", "tpu-v6e-8")]
)
def test_an_unknown_name_is_refused_with_the_nearest(wrong, right):
    """A typo costs one reading of the message."""
    with pytest.raises(UnknownAcceleratorError, match="Did you mean") as refused:
        resolve(wrong)
    assert right in refused.value.nearest


def test_a_name_like_nothing_points_to_the_list():
    """Without anything near, the message says where the names are."""
    with pytest.raises(UnknownAcceleratorError, match="skynb gpus"):
        resolve("zzzzzzzz")
    with pytest.raises(UnknownAcceleratorError):
        resolve("81GB")


@pytest.mark.parametrize(
    ("driver", "gib", "name"),
    [
        ("NVIDIA H100 80GB HBM3", 79.6, "H100"),
        ("NVIDIA A100-SXM4-80GB", 80, "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", 40, "A100"),
        ("NVIDIA A100 80GB PCIe", 80, "A100-80GB"),
        ("Tesla T4", 15, "T4"),
        ("Tesla V100-SXM2-16GB", 16, "V100"),
        ("Tesla V100-SXM2-32GB", 32, "V100-32GB"),
        ("NVIDIA GeForce RTX 4090", 24, "RTX4090"),
        ("NVIDIA GeForce RTX 4060 Ti", 16, "RTX4060Ti"),
        ("NVIDIA RTX A6000", 48, "A6000"),
        ("NVIDIA RTX 6000 Ada Generation", 48, "RTX6000-Ada"),
        ("NVIDIA L4", 22.5, "L4"),
        ("NVIDIA GH200 480GB", 96, "GH200"),
        ("NVIDIA H100 NVL", 94, "H100-NVL"),
        ("Matrox Millennium", 0.004, None),
    ],
)
def test_what_drivers_call_a_gpu(driver, gib, name):
    """nvidia-smi's names find the vocabulary's; what nobody knows is None, not a guess."""
    found = by_driver_name(driver, gib)
    assert (found.name if found else None) == name
