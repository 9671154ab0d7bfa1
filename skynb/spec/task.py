"""One task: what runs, with which files and variables, on which machines."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, overload

from skynb.errors import SpecError
from skynb.spec import storage
from skynb.spec.checks import (
    Parser,
    anything,
    below,
    boolean,
    fail,
    filled,
    integer,
    list_of,
    mapping,
    matching,
    number,
    open_mapping,
    text,
)
from skynb.spec.documents import read_documents, read_file, write_documents
from skynb.spec.overrides import Hook, Overrides
from skynb.spec.plain import plain
from skynb.spec.records import Field, Record, dump
from skynb.spec.resources import Resources, parse_resources, unordered
from skynb.spec.secrets import (
    ManagedSecret,
    Secret,
    Secrets,
    check_docker_login,
    env_name,
    env_values,
    overriding,
)
from skynb.spec.service import Pool, Service
from skynb.spec.storage import Storage, VolumeMount
from skynb.spec.substitution import names_in, substitute
from skynb.spec.wire import lift, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
D = TypeVar("D")

NAME = r"[a-zA-Z0-9]+(?:[._-]{1,2}[a-zA-Z0-9]+)*"
task_name = matching(NAME, "a name", mend="Use letters and digits, with single `.`, `_` or `-` between them")


class Collector(Protocol):
    """What a `with Dag()` block leaves for the tasks made inside it."""

    def add(self, task: Task) -> None: ...
    def add_edge(self, first: Task, then: Task) -> None: ...


collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


class Template(Field[T, D]):
    """A field whose texts may name variables: kept as written, parsed with the variables in place."""

    def __init__(self, parse_filled: Parser[T], default: Any = None) -> None:
        super().__init__(cast("Parser[T]", anything), default)
        self.parse_filled = parse_filled

    @overload
    def __get__(self, record: None, owner: type) -> Template[T, D]: ...
    @overload
    def __get__(self, record: Record, owner: type) -> T | D: ...
    def __get__(self, record: Record | None, owner: type) -> Template[T, D] | T | D:
        if record is None:
            return self
        if not record.is_given(self.key):
            return self.default
        return self.parse_filled(record.filled_in(self.key, {}), self.key)  # type: ignore[attr-defined]


def _script(value: Any, where: str) -> str:
    if isinstance(value, (list, tuple)):
        return "\n".join(list_of(text)(value, where))
    return text(value, where)


def _estimate(value: Any, where: str) -> Mapping[str, float]:
    entries = mapping(value, where)
    if len(entries) != 1:
        fail(where, f"one `URI: gigabytes` entry is expected, not {len(entries)}")
    ((uri, size),) = entries.items()
    return {filled(uri, where): number(0)(size, below(where, uri))}


class Task(Record):
    """A task as its YAML describes it, changed by its methods or by assigning its fields.

    Keywords are the YAML's keys; SpecError names the field that is wrong. `file_mounts`, `workdir`,
    `volumes`, `service` and `pool` are given with envs in place, and secrets only by `resolved()`.
    """

    HINTS: ClassVar[Mapping[str, str]] = {
        **{key: f"`{key}` belongs under `resources`" for key in Resources.FIELDS if not key.startswith("_")},
        "gpus": "`gpus` belongs under `resources`",
        "hooks": "Hooks belong under `config.hooks`",
    }

    name = Field(task_name)
    workdir: Template[str | storage.GitWorkdir, None] = Template(storage.workdir)
    num_nodes = Field(integer(1), 1)
    setup = Field(_script)
    run = Field(_script)
    envs = Field(cast("Parser[Mapping[str, str]]", env_values), cast("Mapping[str, str]", {}))
    secrets = Field(Secrets.parse, Secrets({}))
    managed_secrets = Field(list_of(ManagedSecret.parse), ())
    resources = Field(parse_resources, Resources())
    file_mounts: Template[Mapping[str, str | Storage], Mapping[str, str | Storage]] = Template(
        storage.file_mounts, {}
    )
    service: Template[Service, None] = Template(Service.parse)
    pool: Template[Pool, None] = Template(Pool.parse)
    volumes: Template[
        Mapping[str, str | storage.EphemeralVolume], Mapping[str, str | storage.EphemeralVolume]
    ] = Template(storage.volumes, {})
    volume_mounts = Field(list_of(VolumeMount.parse), ())
    inputs = Field(_estimate)
    outputs = Field(_estimate)
    config = Field(Overrides.parse, Overrides())
    event_callback = Field(text)
    api_server_access = Field(boolean, default=True)
    file_mounts_mapping = Field(anything)
    _metadata = Field(open_mapping)
    _user_specified_yaml = Field(anything)

    def __init__(self, name: str | None = None, **config: Any) -> None:
        given = {"name": name, **config, "resources": unordered(config.get("resources"))}
        mounts = given.pop("storage_mounts", None)
        if mounts is not None:
            mounted = mapping(given.get("file_mounts") or {}, "file_mounts")
            given["file_mounts"] = {**mounted, **mapping(mounts, "storage_mounts")}
        super().__init__(**given)
        self._join()

    @classmethod
    def from_yaml_config(cls, config: Any, env_overrides: Any = None, secrets_overrides: Any = None) -> Task:
        """The task that a mapping describes; overrides (mappings or pairs) go over its envs and secrets."""
        given = dict(mapping({} if config is None else plain(config), ""))
        envs, secrets = overriding(env_overrides, "envs"), overriding(secrets_overrides, "secrets")
        if envs:
            given["envs"] = {**_texts(given.get("envs") or {}, "envs"), **plain(envs, "envs")}
        if secrets:
            kept = Secrets.parse(given.get("secrets") or {}, "secrets")
            given["secrets"] = {**kept, **plain(secrets, "secrets")}
        task = cls.parse(given, "")
        cls._join(task)
        return task

    @classmethod
    def from_yaml_str(cls, text: str, env_overrides: Any = None, secrets_overrides: Any = None) -> Task:
        """The task of a YAML text with one document; an empty text is an empty task."""
        documents = read_documents(text)
        if len(documents) > 1:
            fail(
                "", f"one task is expected, not {len(documents)} documents", mend="Read a chain with load_dag"
            )
        config = documents[0] if documents else None
        return cls.from_yaml_config(config, env_overrides, secrets_overrides)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Task:
        """The task of a YAML file."""
        return cls.from_yaml_str(read_file(path))

    def to_yaml(self) -> str:
        """The task as YAML, secrets as `<redacted>`."""
        return write_documents([self.to_yaml_config()])

    def to_wire(self) -> tuple[dict[str, Any], dict[str, str]]:
        """(config without secret values, the values by name), for sending; SpecError when one is withheld."""
        secrets: dict[str, str] = {}
        return lift(self.to_plain(), "", secrets), secrets

    @classmethod
    def from_wire(cls, config: Mapping[str, Any], secrets: Mapping[str, str]) -> Task:
        """The task that `to_wire` took apart."""
        return cls.parse(restore(plain(config), "", secrets), "")

    def resolved(self, field: str) -> Any:
        """A field with envs and secret values in place, for who carries it out; never print it."""
        row = self.FIELDS.get(field)
        if not isinstance(row, Template) or not self.is_given(field):
            return getattr(self, field)
        values = {name: secret.reveal() for name, secret in self.secrets.having("value").items()}
        try:
            return row.parse_filled(self.filled_in(field, values), field)
        except SpecError:
            named = sorted(names_in(dump(self.given[field])) & set(self.secrets))
            if not named:
                raise
        # Outside of the handler, so that the first error, which may quote a secret, is not attached.
        return fail(field, f"it does not parse with the values of these secrets in place: {', '.join(named)}")

    def validate(self) -> None:
        """Check every rule again; a task that exists has passed them."""
        self._check("")

    @property
    def use_spot(self) -> bool:
        """Whether any choice of machines is a spot one."""
        return any(choice.use_spot for choice in self.resources.alternatives()[1])

    @property
    def envs_and_secrets(self) -> dict[str, str | Secret]:
        """All variables of the task; a secret goes over an env of the same name."""
        return {**self.envs, **self.secrets}

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks of `config.hooks`, and the one of autostop."""
        autostop = self.resources.autostop
        if autostop is None or autostop.hook is None:
            return self.config.hooks
        event = "down" if autostop.down else "stop"
        return (*self.config.hooks, Hook(run=autostop.hook, events=[event], timeout=autostop.hook_timeout))

    @property
    def storage_mounts(self) -> dict[str, Storage]:
        """The file mounts that are storage objects."""
        return {path: mount for path, mount in self.file_mounts.items() if isinstance(mount, Storage)}

    def get_local_to_remote_file_mounts(self) -> dict[str, str]:
        """Destination -> local path."""
        return self._text_mounts(lambda source: "://" not in source)

    def get_cloud_to_remote_file_mounts(self) -> dict[str, str]:
        """Destination -> bucket URL."""
        return self._text_mounts(lambda source: "://" in source)

    def update_envs(self, envs: Any) -> Task:
        """Add or replace variables."""
        return self._changed(envs={**self.envs, **overriding(envs, "envs")})

    def update_secrets(self, secrets: Any) -> Task:
        """Add or replace secrets."""
        return self._changed(secrets={**self.secrets, **overriding(secrets, "secrets")})

    def set_resources(self, resources: Any) -> Task:
        """Resources, a mapping, a list of them (in order of preference) or a set (any of them)."""
        return self._changed(resources=unordered(resources))

    def set_resources_override(self, override_params: Mapping[str, Any]) -> Task:
        """Lay fields over the resources and over each of their alternatives."""
        return self._changed(resources=self.resources.overridden(mapping(override_params, "resources")))

    def get_resource_config(self) -> dict[str, Any]:
        """The resources as YAML has them."""
        return self.resources.to_yaml_config()

    def set_file_mounts(self, file_mounts: Mapping[str, Any] | None) -> Task:
        """Replace the file mounts."""
        return self._changed(file_mounts=file_mounts)

    def update_file_mounts(self, file_mounts: Mapping[str, Any]) -> Task:
        """Add or replace file mounts."""
        return self._merged("file_mounts", file_mounts)

    def set_storage_mounts(self, storage_mounts: Mapping[str, Any] | None) -> Task:
        """Replace the file mounts that are storage objects."""
        given = dump(self.given.get("file_mounts", {}))
        kept = {path: mount for path, mount in given.items() if isinstance(mount, str)}
        return self._changed(file_mounts={**kept, **mapping(storage_mounts or {}, "storage_mounts")})

    def update_storage_mounts(self, storage_mounts: Mapping[str, Any]) -> Task:
        """Add or replace storage objects."""
        return self._merged("file_mounts", storage_mounts)

    def set_volumes(self, volumes: Mapping[str, Any] | None) -> Task:
        """Replace the volumes."""
        return self._changed(volumes=volumes)

    def update_volumes(self, volumes: Mapping[str, Any]) -> Task:
        """Add or replace volumes."""
        return self._merged("volumes", volumes)

    def set_service(self, service: Any) -> Task:
        """Replace the service; None takes it away."""
        return self._changed(service=service)

    def update_workdir(
        self, workdir: str | None = None, git_url: str | None = None, git_ref: str | None = None
    ) -> Task:
        """A local folder, or a git checkout; a ref alone moves the checkout that is there."""
        if workdir is not None and (git_url or git_ref):
            fail("workdir", "a local folder does not go with a git checkout", mend="Give one of them")
        if git_url is None and git_ref is None:
            return self._changed(workdir=workdir)
        current = dump(self.given.get("workdir"))
        url = git_url or (current.get("url") if isinstance(current, dict) else None)
        return self._changed(workdir={"url": url, "ref": git_ref})

    def set_inputs(self, inputs: str, estimated_size_gigabytes: float) -> Task:
        """Where the input lies and how large it is, in GB."""
        return self._changed(inputs={inputs: estimated_size_gigabytes})

    def set_outputs(self, outputs: str, estimated_size_gigabytes: float) -> Task:
        """Where the output goes and how large it is, in GB."""
        return self._changed(outputs={outputs: estimated_size_gigabytes})

    def get_inputs(self) -> str | None:
        return next(iter(self.inputs or {}), None)

    def get_estimated_inputs_size_gigabytes(self) -> float | None:
        return next(iter((self.inputs or {}).values()), None)

    def get_outputs(self) -> str | None:
        return next(iter(self.outputs or {}), None)

    def get_estimated_outputs_size_gigabytes(self) -> float | None:
        return next(iter((self.outputs or {}).values()), None)

    def __rshift__(self, then: Task) -> Task:
        """`a >> b` inside `with Dag()`: b runs after a."""
        dag = collector.get()
        if dag is None:
            fail("", "`>>` needs a `with Dag() as dag:` block around it")
        dag.add_edge(self, then)
        return then

    def _check(self, where: str) -> None:
        missing = next((name for name, value in self.envs.items() if value is None), None)
        if missing:
            mend = f"Give one, as with --env {missing}=..., or write `{missing}: ''` for an empty one"
            fail(below("envs", missing), "this variable has no value", mend=mend)
        check_docker_login(self.envs, self.secrets)
        if self.is_given("service") and self.is_given("pool"):
            fail("pool", "`pool` does not go with `service`", mend="Keep one of them")
        unknown = {*self.secrets.having("reference"), *self.secrets.having("withheld")}
        for key, row in self.FIELDS.items():
            # What depends on a secret that is not here is checked where it is.
            if (
                isinstance(row, Template)
                and self.is_given(key)
                and not names_in(dump(self.given[key])) & unknown
            ):
                self.resolved(key)

    def filled_in(self, key: str, secrets: Mapping[str, str]) -> Any:
        return substitute(dump(self.given[key]), {**self.envs, **secrets})

    def _text_mounts(self, wanted: Callable[[str], bool]) -> dict[str, str]:
        mounts = self.file_mounts.items()
        return {path: source for path, source in mounts if isinstance(source, str) and wanted(source)}

    def _merged(self, key: str, entries: Mapping[str, Any]) -> Task:
        return self._changed(**{key: {**dump(self.given.get(key, {})), **mapping(entries, key)}})

    def _changed(self, **changes: Any) -> Task:
        before = self.given, self._extras
        config = {**self.to_plain(), **plain(changes)}
        try:
            self._fill(config, "")
        except SpecError:
            self._settle(*before)
            raise
        return self

    def _assign(self, key: str, value: Any) -> None:
        self._changed(**{key: unordered(value)})

    def _join(self) -> None:
        dag = collector.get()
        if dag is not None:
            dag.add(self)

    # A task changes, so it is itself and no other: two tasks of one spec are two tasks.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __copy__(self) -> Task:
        twin = type(self).__new__(type(self))
        type(self)._settle(  # noqa: SLF001 - its own class
            twin, dict(self.given), dict(self._extras)
        )
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        return self.__copy__()  # the values cannot change


def _texts(value: Any, where: str) -> dict[str, Any]:
    return {env_name(key, below(where, key)): item for key, item in mapping(value, where).items()}
