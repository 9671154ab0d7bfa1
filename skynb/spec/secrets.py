"""Environment variables, and secrets that show themselves to nobody who does not ask by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NoReturn

from skynb.spec.checks import below, fail, filled, mapping, show
from skynb.spec.plain import Sealed
from skynb.spec.records import Field, Record

REDACTED = "<redacted>"
_PREFIX = "secrets:"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_DOCKER = ("SKYPILOT_DOCKER_USERNAME", "SKYPILOT_DOCKER_PASSWORD", "SKYPILOT_DOCKER_SERVER")

Kind = Literal["value", "reference", "withheld"]


class Secret(Sealed):
    """A value that only `reveal()` gives; printing, dumping and copying show `<redacted>`, pickling refuses.

    kind: `value`; `reference` (kept by the server, resolved at launch); or `withheld` (it was read
    back from a spec that had been printed, and must be given again).
    """

    __slots__ = ("_tell", "kind")
    kind: Kind

    def __init__(self, value: str | None) -> None:
        # A closure, so that no walk over attributes, by a debugger or an encoder, meets the value.
        self._tell: Callable[[], str | None] = lambda: value
        self.kind = "reference" if value is None else "withheld" if value == REDACTED else "value"

    def reveal(self) -> str:
        """The value. SpecError when it is not here: a reference, or withheld."""
        value = self._tell()
        if value is None or self.kind == "withheld":
            mend = "Give it again, as with --secret NAME" if value else "It is resolved at launch"
            fail("", f"the value of this secret is not here ({self.kind})", mend=mend)
        return value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret) or self.kind != other.kind:
            return False
        return self._tell() == other._tell()

    __hash__ = None  # type: ignore[assignment]

    def to_yaml(self) -> str | None:
        return None if self.kind == "reference" else REDACTED

    def __str__(self) -> str:
        return REDACTED

    def __repr__(self) -> str:
        return f"Secret({REDACTED if self.kind == 'value' else self.kind})"

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled; send tasks with Task.to_wire()")

    @classmethod
    def parse(cls, value: Any, where: str) -> Secret:
        """The secret that a scalar spells; messages never quote it."""
        if isinstance(value, Secret):
            return value
        if isinstance(value, (Mapping, list, tuple, frozenset)):
            fail(where, "a secret's value is text")
        return cls(None if value is None else str(value))


class Secrets(Mapping[str, Secret]):
    """NAME -> Secret, in the order written. It cannot be changed; `Task.update_secrets` makes another."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._secrets = dict(secrets)

    def __getitem__(self, name: str) -> Secret:
        return self._secrets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._secrets)})"

    def having(self, kind: Kind) -> dict[str, Secret]:
        """Those of one kind."""
        return {name: secret for name, secret in self.items() if secret.kind == kind}

    @classmethod
    def parse(cls, value: Any, where: str) -> Secrets:
        """A map NAME -> value (null: a reference), or a list of `secrets:NAME` references."""
        if isinstance(value, (list, tuple)):
            return cls(dict(_listed(item, below(where, index)) for index, item in enumerate(value)))
        if not isinstance(value, Mapping):
            fail(where, "a mapping of names to values, or a list of `secrets:NAME`, is expected")
        return cls(dict(_entry(key, item, where) for key, item in value.items()))


class ManagedSecret(Record):
    """A reference to a secret that the server keeps, perhaps put into a file at `mount_path`."""

    name = Field(filled, required=True)
    mount_path = Field(filled)
    scope = Field(filled)

    @classmethod
    def _longhand(cls, value: Any, where: str) -> Any:
        if isinstance(value, str):
            return {"name": value}
        entries = mapping(value, where)
        if len(entries) != 1:
            fail(where, "one name is expected", mend="Write `NAME` or `NAME: {mount_path: /path}`")
        ((name, options),) = entries.items()
        if options is not None and "name" in mapping(options, below(where, name)):
            fail(below(below(where, name), "name"), "`name` is not a field here", mend="The key is the name")
        return {"name": name, **(options or {})}

    def to_plain(self) -> Any:
        options = {key: value for key, value in super().to_plain().items() if key != "name"}
        return {self.name: options} if options else self.name


def env_name(value: Any, where: str) -> str:
    """The name of an environment variable; numbers and such become text first, as in SkyPilot."""
    name = str(value)
    if not _NAME.fullmatch(name):
        mend = "Use letters, digits and `_`, and begin with no digit"
        fail(where, f"{show(name)} is not the name of a variable", mend=mend)
    return name


def env_values(value: Any, where: str) -> Mapping[str, str | None]:
    """NAME -> text; None where no value is given yet."""
    return {
        env_name(key, below(where, key)): None if item is None else str(item)
        for key, item in mapping(value, where).items()
    }


def overriding(overrides: Any, where: str) -> dict[Any, Any]:
    """Overrides as a dict, from a mapping or from pairs."""
    if overrides is None:
        return {}
    if isinstance(overrides, Mapping):
        return dict(overrides)
    if not isinstance(overrides, Iterable) or isinstance(overrides, (str, bytes)):
        fail(where, "a mapping or pairs of names and values are expected")
    pairs = list(overrides)
    if not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        fail(where, "a mapping or pairs of names and values are expected")
    return dict(pairs)


def check_docker_login(envs: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    """The registry's user, password and server come all three, and from one place."""
    in_envs, in_secrets = ([name for name in _DOCKER if name in names] for names in (envs, secrets))
    if in_envs and in_secrets:
        why = "a registry's user, password and server come from one place"
        fail(
            f"envs.{in_envs[0]}", "the registry's login is split", why=why, mend="Put all three into secrets"
        )
    for where, given in (("envs", in_envs), ("secrets", in_secrets)):
        missing = [name for name in _DOCKER if name not in given]
        if given and missing:
            fail(
                f"{where}.{given[0]}",
                "the registry's login is not complete",
                mend=f"Add {' and '.join(missing)}",
            )


def _listed(item: Any, where: str) -> tuple[str, Secret]:
    if not isinstance(item, str) or not item.startswith(_PREFIX):
        fail(where, "an item of this list names a kept secret", mend="Write `secrets:NAME`")
    return _secret_name(item.removeprefix(_PREFIX), where), Secret(None)


def _entry(key: Any, value: Any, where: str) -> tuple[str, Secret]:
    name = str(key)
    if not name.startswith(_PREFIX):
        _secret_name(name, where)
        return name, Secret.parse(value, below(where, name))
    name = _secret_name(name.removeprefix(_PREFIX), where)
    if value is not None:
        mend = f"Write `{name}:` for a value, or `{_PREFIX}{name}:` with none"
        fail(below(where, name), "a reference to a kept secret has no value", mend=mend)
    return name, Secret(None)


def _secret_name(name: str, where: str) -> str:
    # A malformed name may well be a value in the wrong place, so the message does not quote it.
    if not _NAME.fullmatch(name):
        mend = "Use letters, digits and `_`, and begin with no digit"
        fail(where, "one of the keys is not the name of a variable", mend=mend)
    return name
