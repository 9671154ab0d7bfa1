"""What a person sets for a cloud in `config.yaml` of skynb's home, under SkyPilot's names of keys."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from skynb.errors import SpecError
from skynb.spec.checks import listed, nearest

FILE = "config.yaml"
S = TypeVar("S", bound=msgspec.Struct)


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `aws`. vpc_name, subnet_names, security_group_name: a tag `Name`, or an id.

    remote_identity: the IAM instance profile of the machines, by name; none without it. labels: tags of
    every machine and its disk. profile: which credentials, where AWS_PROFILE does not say.
    """

    profile: str | None = None
    vpc_name: str | None = None
    subnet_names: tuple[str, ...] = ()
    security_group_name: str | None = None
    ssh_user: str = "ubuntu"
    disk_encrypted: bool = False
    use_internal_ips: bool = False
    labels: dict[str, str] = {}
    remote_identity: str | None = None

    def __post_init__(self) -> None:
        """SkyPilot's words for credentials on machines are no profiles: none gets the server's."""
        if self.remote_identity in {"LOCAL_CREDENTIALS", "SERVICE_ACCOUNT", "NO_UPLOAD"}:
            mend = "Write the name of an IAM instance profile, or leave it out: no machine gets the server's"
            where = _at("aws.remote_identity")
            raise SpecError(f"`{self.remote_identity}` is no profile", mend=mend, where=where)


def section(home: Path, cloud: str, kind: type[S]) -> S:
    """The settings of a cloud, defaults where nothing is written. Raises SpecError, naming the key."""
    plain = _read(home / FILE).get(cloud)
    return _converted({} if plain is None else plain, cloud, kind)


def _read(path: Path) -> dict[str, Any]:
    """The file as it is written; every section must be that of a provider."""
    import yaml

    try:
        plain = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        why = getattr(error, "problem", None) or getattr(error, "strerror", None)
        raise SpecError(f"{path} cannot be read", why=why, mend="Write YAML in UTF-8") from None
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise SpecError(f"{path} is not a mapping", mend="Write sections, such as `aws:`, with keys in them")
    clouds = [entry.name for entry in entry_points(group="skynb.providers")]
    for key in plain:
        if key not in clouds:
            raise SpecError(
                "no provider has this section", mend=nearest(key, clouds, "section"), where=_at(key)
            )
    return plain


def _converted(plain: Any, cloud: str, kind: type[S]) -> S:
    if not isinstance(plain, dict):
        raise SpecError("this is not a mapping", mend="Write keys with values below it", where=_at(cloud))
    fields = kind.__struct_fields__
    for key in plain:
        if key not in fields:
            mend = nearest(key, fields, "key")
            raise SpecError("there is no such setting", mend=mend, where=_at(f"{cloud}.{key}"))
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        where = _at(f"{cloud}{place.rstrip('`')}")
        raise SpecError(what, mend=f"Settings of {cloud}: {listed(fields, 'and')}", where=where) from None


def _at(key: object) -> str:
    return f"{FILE}: {key}"
