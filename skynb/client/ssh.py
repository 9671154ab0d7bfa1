"""`ssh CLUSTER`: entries in a file of skynb's own, which the person's `~/.ssh/config` includes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from skynb.client.server import home
from skynb.errors import SkynbError
from skynb.wire import SshInfo

_BEGIN = "# cluster "


def command_line(entry: SshInfo, command: Sequence[str] = ()) -> list[str]:
    """The argv that opens a shell on a node, or runs a command there; it needs no file of entries."""
    options = [word for line in _options(entry) for word in ("-o", line)]
    return ["ssh", *options, "--", entry.name, *command]


def file() -> Path:
    """Where the entries stand."""
    return home() / "ssh" / "config"


def keep(live: Collection[str], cluster: str, entries: Sequence[SshInfo]) -> None:
    """Write a cluster's entries over its older ones; those of clusters that do not live go.

    A name with a dot could be that of a host elsewhere: such a cluster has no entry.
    """
    blocks = {name: text for name, text in _blocks().items() if name in live and name != cluster}
    if "." not in cluster:
        blocks[cluster] = "".join(map(_block, entries))
    path = file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, "".join(f"{_BEGIN}{name}\n{text}" for name, text in sorted(blocks.items())))


def include() -> bool:
    """Have `~/.ssh/config` include the entries, with a copy of what it was; False if it does already."""
    path = (Path.home() / ".ssh" / "config").resolve()
    line = f"Include {_quoted(str(file()))}"
    old = path.read_text() if path.exists() else ""
    if line in old.splitlines():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if old:
        shutil.copy2(path, path.with_name(f"{path.name}.before-skynb"))
    _write(path, f"{line}\n\n{old}" if old else f"{line}\n")
    return True


def _blocks() -> dict[str, str]:
    """The text of each cluster's entries."""
    try:
        text = file().read_text()
    except FileNotFoundError:
        return {}
    parts = (part.partition("\n") for part in f"\n{text}".split(f"\n{_BEGIN}")[1:])
    return {name: f"{body.rstrip()}\n" if body.strip() else "" for name, _, body in parts}


def _block(entry: SshInfo) -> str:
    lines = (line.replace("=", " ", 1) for line in _options(entry))
    return "\n".join([f"Host {entry.name}", *(f"    {line}" for line in lines), ""])


def _options(entry: SshInfo) -> list[str]:
    given = {
        "HostName": entry.host,
        "User": entry.user,
        "Port": str(entry.port),
        "IdentityFile": entry.key_file,
        "IdentitiesOnly": "yes" if entry.key_file else "",
        "ProxyJump": entry.jump,
        "UserKnownHostsFile": entry.known_hosts,
        "HostKeyAlias": entry.host_key_alias,
    }
    return [f"{key}={_quoted(value)}" for key, value in given.items() if value]


def _quoted(value: str) -> str:
    """A value as ssh's configuration takes it, which knows no escapes."""
    if not value.isprintable() or '"' in value:
        raise SkynbError(f"ssh's configuration cannot hold {value!r}", mend="Rename it")
    return f'"{value}"' if " " in value else value


def _write(path: Path, text: str) -> None:
    """All of it or nothing, readable to nobody else."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    draft.replace(path)
