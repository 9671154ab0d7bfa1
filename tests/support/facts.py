"""Rows of catalogs for tests."""

from __future__ import annotations

from skynb_catalog.offers import Fact


def fact(**changes) -> Fact:
    """A row of a catalog; what is not said is a plain machine."""
    plain = {
        "cloud": "aws",
        "region": "us-east-1",
        "zone": None,
        "instance_type": "m.large",
        "vcpus": 8.0,
        "memory_gib": 32.0,
        "accelerator": None,
        "accelerator_count": None,
        "accelerator_memory_gib": None,
        "arch": "x86_64",
        "hourly_micro": 400_000,
        "spot_hourly_micro": None,
        "as_of": "2026-01-01",
        "spot_as_of": None,
        "source": "a test",
        "confidence": "high",
    }
    return Fact(**(plain | changes))
