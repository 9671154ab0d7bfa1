"""Which hosts there are: `ssh_pools.yaml`, SkyPilot's file of node pools, and `~/.ssh/config`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from skynb.errors import SpecError
from skynb_clusters.contract import SshEntry
from skynb_clusters.transports import routes

OWN_FILE = "ssh_pools.yaml"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:\[\]-]*")
_SHARED_KEYS = ("user", "port", "identity_file", "password", "jump", "allocation")

Allocation = Literal["exclusive", "shared"]


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host of a pool. address: where other hosts reach it, if that is not where its sshd was reached."""

    name: str
    ip: str
    user: str = ""
    port: int = routes.SSH_PORT
    identity_file: str = ""
    password: str = ""
    jump: str = ""
    address: str = ""
    allocation: Allocation = "exclusive"

    @property
    def entry(self) -> SshEntry:
        """How its sshd is reached; the rest is for `~/.ssh/config` to say."""
        return SshEntry(
            host=self.ip, user=self.user, port=self.port, key_file=self.identity_file, jump=self.jump
        )


Pool = tuple[Host, ...]


class Pools:
    """The pools of one user, read anew when a file changed. SpecError names the pool, host and field."""

    def __init__(self, home: Path) -> None:
        self._files = (home / OWN_FILE, Path.home() / ".sky" / "ssh_node_pools.yaml")
        self._read_at: tuple[float, ...] = ()
        self._pools: dict[str, Pool] = {}

    @property
    def file(self) -> Path:
        """Where pools are best written down."""
        return self._files[0]

    def all(self) -> Mapping[str, Pool]:
        """Every pool by name; ours before SkyPilot's of the same name."""
        stamps = tuple(_stamp(path) for path in self._files)
        if stamps != self._read_at:
            self._pools = {**_read(self._files[1]), **_read(self._files[0])}
            self._read_at = stamps
        return self._pools

    def get(self, name: str) -> Pool:
        """The hosts of a pool; a host that only `~/.ssh/config` names is a pool of one. Empty if unknown."""
        found = self.all().get(name)
        if found is None and routes.named(name):
            return (Host(name=name, ip=name),)
        return found or ()

    def host(self, place: str) -> Host | None:
        """The host of a machine's place, `pool/host`."""
        pool, _, name = place.partition("/")
        return next((host for host in self.get(pool) if host.name == name), None)


def _stamp(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path) -> dict[str, Pool]:
    import yaml

    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(f"{path} cannot be read", why=str(error)) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SpecError(f"{path} is not a mapping of pools", mend="Write `my-pool: {hosts: [...]}`")
    return {str(name): _pool(path, str(name), body) for name, body in raw.items()}


def _pool(path: Path, name: str, body: Any) -> Pool:
    if not _NAME.fullmatch(name):
        raise SpecError(f"{path}: {name!r} is no name for a pool", where=name)
    if not isinstance(body, dict) or not isinstance(body.get("hosts"), list) or not body["hosts"]:
        raise SpecError(f"{path}: pool {name} has no list of hosts", where=f"{name}.hosts")
    if unknown := [str(key) for key in body if key not in {*_SHARED_KEYS, "hosts"}]:
        raise SpecError(
            f"{path}: pool {name} has an unknown field {unknown[0]!r}", where=f"{name}.{unknown[0]}"
        )
    shared = {key: body[key] for key in _SHARED_KEYS if key in body}
    hosts = tuple(_host(path, name, number, shared, item) for number, item in enumerate(body["hosts"]))
    names = [host.name for host in hosts]
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise SpecError(f"{path}: pool {name} names host {twice} twice", where=f"{name}.hosts")
    return hosts


def _host(path: Path, pool: str, number: int, shared: dict[str, Any], item: Any) -> Host:
    where = f"{pool}.hosts[{number}]"
    if isinstance(item, str):
        user, _, ip = item.rpartition("@")
        item = {"ip": ip, **({"user": user} if user else {})}
    if not isinstance(item, dict) or not isinstance(item.get("ip"), str):
        raise SpecError(f"{path}: host {number} of pool {pool} has no ip", where=f"{where}.ip")
    config = {**shared, "name": item["ip"], **item}
    if isinstance(config.get("identity_file"), str):
        config["identity_file"] = str(Path(config["identity_file"]).expanduser())
    try:
        host = msgspec.convert(config, Host)
    except msgspec.ValidationError as error:
        raise SpecError(
            f"{path}: host {config['name']} of pool {pool} is wrong", why=str(error), where=where
        ) from None
    if not _NAME.fullmatch(host.name) or not _NAME.fullmatch(host.ip):
        raise SpecError(f"{path}: {host.name!r} of pool {pool} is no name for a host", where=where)
    return host
