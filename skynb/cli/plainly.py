"""Any result in plain JSON types."""

from __future__ import annotations

from typing import Any

import msgspec


def plainly(value: Any) -> Any:
    """By its `to_dict()`, or as msgspec sees it."""
    return value.to_dict() if hasattr(value, "to_dict") else msgspec.to_builtins(value)
