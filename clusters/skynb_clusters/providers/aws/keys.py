"""The server's own SSH key: made once, kept in the provider's folder; only its public half leaves it."""

from __future__ import annotations

import os
from pathlib import Path

from skynb.control.secrets import write_private

KEY = "ssh_key"


def key_file(folder: Path) -> Path:
    """The private key (0600), made when there is none; `public_key` is its other half."""
    path = folder / KEY
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    return path


def public_key(folder: Path) -> str:
    """The line for `authorized_keys`."""
    from cryptography.hazmat.primitives import serialization as forms

    private = forms.load_ssh_private_key(key_file(folder).read_bytes(), password=None)
    line = private.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH)
    return f"{line.decode()} skynb"


def _make(path: Path) -> None:
    """Whoever comes first makes it; whoever comes at the same time takes that one."""
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = Ed25519PrivateKey.generate().private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption()
    )
    draft = path.with_name(f".{KEY}.{os.urandom(8).hex()}")
    write_private(draft, secret)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
