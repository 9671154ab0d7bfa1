"""Secrets at rest: encrypted files beside the ledger, never in it. The ledger holds references only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from skynb.control.clock import new_id
from skynb.errors import NotFoundError


class SecretStore:
    """Keeps small maps of secrets under `folder` (0700), each in its own file (0600), by reference."""

    def __init__(self, folder: Path) -> None:
        from cryptography.fernet import Fernet

        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = folder / "key"
        if not key.exists():
            write_private(key, Fernet.generate_key())
        self._cipher = Fernet(key.read_bytes())

    def put(self, values: Mapping[str, str], reference: str | None = None) -> str:
        """Keep the values durably; the answer is the reference to them."""
        reference = reference or new_id("secret")
        write_private(self._folder / reference, self._cipher.encrypt(msgspec.json.encode(dict(values))))
        return reference

    def get(self, reference: str) -> dict[str, str]:
        """The values; NotFoundError once they were dropped."""
        try:
            sealed = (self._folder / reference).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"the secrets {reference} are no longer kept") from None
        return msgspec.json.decode(self._cipher.decrypt(sealed), type=dict[str, str])

    def drop(self, reference: str) -> None:
        """Forget them; dropping twice does nothing."""
        (self._folder / reference).unlink(missing_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Write a file only its owner can read, whole or not at all, and on the disk when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
