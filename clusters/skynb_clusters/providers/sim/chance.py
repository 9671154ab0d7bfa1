"""Chance that can be had again: the same seed and question give the same answer, in any order."""

from __future__ import annotations

from hashlib import blake2b
from statistics import NormalDist

_NORMAL = NormalDist()


def uniform(*question: object) -> float:
    """From 0 up to, not including, 1."""
    digest = blake2b(repr(question).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def normal(*question: object) -> float:
    """Around 0, with deviation 1."""
    return _NORMAL.inv_cdf(max(1e-12, uniform(*question)))
