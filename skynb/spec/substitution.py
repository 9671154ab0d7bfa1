"""`$NAME` and `${NAME}` inside file_mounts, service, pool, workdir and volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skynb.spec.checks import Substituted

_VARIABLE = re.compile(r"\$(?:\{([a-zA-Z_][a-zA-Z0-9_]*)\}|([a-zA-Z_][a-zA-Z0-9_]*))")


def substitute(value: Any, variables: Mapping[str, str]) -> Any:
    """A plain value with the variables put into its texts and keys; unknown names stay as they are."""
    if isinstance(value, str):
        result = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), value)
        return value if result == value else Substituted(result)
    if isinstance(value, Mapping):
        return {substitute(key, variables): substitute(item, variables) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [substitute(item, variables) for item in value]
    return value


def names_in(value: Any) -> set[str]:
    """The variables that a plain value names."""
    if isinstance(value, str):
        return {match[1] or match[2] for match in _VARIABLE.finditer(value)}
    if isinstance(value, Mapping):
        return {name for pair in value.items() for part in pair for name in names_in(part)}
    if isinstance(value, (list, tuple)):
        return {name for item in value for name in names_in(item)}
    return set()
