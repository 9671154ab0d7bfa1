"""From where somebody wants to go to how `ssh` would get there: hosts, users, keys and jumps."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skynb.errors import ProviderError
from skynb_clusters.contract import SshEntry

if TYPE_CHECKING:
    from paramiko import SSHConfig

SSH_PORT = 22
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_MOST_JUMPS = 8


@dataclass(frozen=True)
class Hop:
    """One login on the way. alias: the name in the book of host keys. keys: files, in the order to try."""

    host: str
    port: int
    user: str
    alias: str
    keys: tuple[str, ...] = ()
    agent: bool = True
    command: str = ""
    password: str = field(default="", repr=False)


Route = tuple[Hop, ...]
"""The hops in order; the last one is the node."""


def route(entry: SshEntry, alias: str, password: str = "") -> Route:
    """How to reach an entry, with what `~/.ssh/config` says of its host; ProviderError if that is unusable.

    What the entry states counts before the file; its jumps are `user@host:port`, separated by commas.
    """
    config = _config()
    known = _lookup(config, entry.host)
    jump = entry.jump or known.get("proxyjump", "")
    before = _jumps(config, "" if jump == "none" else jump, 0)
    command = known.get("proxycommand", "")
    hop = Hop(
        host=known.get("hostname", entry.host),
        port=entry.port if entry.port != SSH_PORT else _port(known, entry.host),
        user=entry.user or known.get("user", "") or getpass.getuser(),
        alias=alias,
        keys=_keys(entry.key_file, known),
        agent=not (entry.key_file and _only(known)) and known.get("identityagent") != "none",
        command="" if before or command == "none" else command,
        password=password,
    )
    return (*before, hop)


def login(host: str) -> SshEntry:
    """What `~/.ssh/config` says of a host by its name there; the host's own name where it says nothing."""
    known = _lookup(_config(), host)
    return SshEntry(
        host=known.get("hostname", host),
        user=known.get("user", "") or getpass.getuser(),
        port=_port(known, host),
        key_file=next(iter(_keys("", known)), ""),
        jump="" if known.get("proxyjump") == "none" else known.get("proxyjump", ""),
    )


def named(host: str) -> bool:
    """Whether `~/.ssh/config` has an entry of exactly this name."""
    config = _config()
    return config is not None and host in config.get_hostnames()


def _jumps(config: SSHConfig | None, words: str, depth: int) -> Route:
    if depth > _MOST_JUMPS:
        raise ProviderError("~/.ssh/config jumps in a circle", mend="Look at its ProxyJump", retryable="no")
    hops: list[Hop] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        user, _, place = word.rpartition("@")
        name, port = _split_port(place)
        known = _lookup(config, name)
        if not hops and (further := known.get("proxyjump", "none")) != "none":
            hops.extend(_jumps(config, further, depth + 1))
        host = known.get("hostname", name)
        port = port or _port(known, name)
        hops.append(
            Hop(
                host=host,
                port=port,
                user=user or known.get("user", "") or getpass.getuser(),
                alias=host if port == SSH_PORT else f"[{host}]:{port}",
                keys=_keys("", known),
                agent=known.get("identityagent") != "none",
            )
        )
    return tuple(hops)


def _split_port(place: str) -> tuple[str, int]:
    host, colon, port = place.rpartition(":")
    if colon and port.isdigit() and (not host.count(":") or host.endswith("]")):
        return host.strip("[]"), int(port)
    return place.strip("[]"), 0


def _port(known: dict[str, str], host: str) -> int:
    try:
        return int(known.get("port", SSH_PORT))
    except ValueError:
        raise ProviderError(f"~/.ssh/config has no number as Port of {host}", retryable="no") from None


def _only(known: dict[str, str]) -> bool:
    return known.get("identitiesonly", "no").lower() == "yes"


def _keys(first: str, known: dict[str, str]) -> tuple[str, ...]:
    """Key files that exist: the one asked for, those of the config, else what ssh tries by itself."""
    stated = [*([first] if first else []), *known.get("identityfile", "").split("\n")]
    defaults = [] if any(stated) else [str(Path.home() / ".ssh" / name) for name in _DEFAULT_KEYS]
    paths = (Path(word).expanduser() for word in (*stated, *defaults) if word)
    return tuple(dict.fromkeys(str(path) for path in paths if str(path) == first or path.is_file()))


def _config() -> SSHConfig | None:
    from paramiko import SSHConfig
    from paramiko.ssh_exception import ConfigParseError

    try:
        return SSHConfig.from_path(str(Path.home() / ".ssh" / "config"))
    except FileNotFoundError:
        return None
    except (OSError, ConfigParseError) as error:
        raise ProviderError("~/.ssh/config cannot be read", why=str(error), retryable="no") from error


def _lookup(config: SSHConfig | None, host: str) -> dict[str, str]:
    """The options of a host as plain words; several key files are lines of one word."""
    if config is None:
        return {}
    found = config.lookup(host)
    return {
        name: "\n".join(value) if isinstance(value, list) else str(value)
        for name, value in found.items()
        if value
    }
