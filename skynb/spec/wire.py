"""Secrets taken out of a plain config for sending, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skynb.spec.checks import below, fail
from skynb.spec.secrets import REDACTED, Secret


def lift(value: Any, where: str, secrets: dict[str, str]) -> Any:
    """`value` with `<redacted>` for each secret, whose value goes into `secrets` by name or path."""
    if isinstance(value, Secret):
        if value.kind == "reference":
            return None
        if value.kind == "withheld":
            mend = "Give it again, as with --secret NAME"
            fail(where, "the value of this secret was left out when the spec was written", mend=mend)
        secrets[_name(where)] = value.reveal()
        return REDACTED
    if isinstance(value, Mapping):
        return {key: lift(item, below(where, key), secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [lift(item, below(where, index), secrets) for index, item in enumerate(value)]
    return value


def restore(value: Any, where: str, secrets: Mapping[str, str]) -> Any:
    """What `lift` took apart."""
    if value == REDACTED and _name(where) in secrets:
        return Secret(secrets[_name(where)])
    if isinstance(value, Mapping):
        return {key: restore(item, below(where, key), secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [restore(item, below(where, index), secrets) for index, item in enumerate(value)]
    return value


def _name(where: str) -> str:
    return where.removeprefix("secrets.")
