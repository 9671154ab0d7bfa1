"""No way but reveal() shows a secret."""

import copy
import json
import pickle
import traceback

import pytest
import yaml

from skynb.errors import SpecError
from skynb.spec import Dag, Secret, Task, load_dag

CANARY = "canary-7f3a9b"
SPEC = f"""
name: a
secrets: {{TOKEN: {CANARY}, NUMBER: 5}}
envs: {{HOME_DIR: /x}}
file_mounts: {{/data: 's3://b/$TOKEN', /o: {{name: b, source: /$TOKEN}}}}
workdir: /w/$TOKEN
resources: {{_docker_login_config: {{username: u, password: {CANARY}, server: s}}}}
"""


@pytest.fixture
def task():
    return Task.from_yaml_str(SPEC)


def views(task):
    yield repr(task)
    yield str(task)
    yield f"{task} {task.secrets} {task.secrets['TOKEN']}"
    yield f"{task.secrets['TOKEN']!r} {task.secrets['TOKEN']:>50}"
    yield task.to_yaml()
    yield json.dumps(task.to_yaml_config())
    yield repr(task.to_wire()[0])
    yield repr(task.envs_and_secrets)
    yield (
        repr(task.file_mounts)
        + repr(task.workdir)
        + repr(task.resources)
        + repr(task.resources.alternatives())
    )
    yield (
        repr(copy.deepcopy(task)) + repr(copy.copy(task.secrets["TOKEN"])) + repr(copy.deepcopy(task.secrets))
    )
    yield repr(task.given) + repr(task.to_plain()) + repr(dict(task.secrets))
    secret = task.secrets["TOKEN"]
    yield repr([getattr(secret, name, None) for name in dir(secret)])
    with Dag() as dag:
        dag.add(task)
    yield repr(dag) + dag.to_yaml()


def test_the_canary_is_not_seen(task):
    """Printing, formatting, dumping, copying and walking attributes show no value."""
    assert task.secrets["TOKEN"].reveal() == CANARY
    for view in views(task):
        assert CANARY not in view


def test_it_cannot_be_pickled_or_encoded(task):
    """Pickling refuses by name of what to use instead, and JSON finds nothing to write."""
    for thing in (task.secrets["TOKEN"], task.secrets, task, task.resources):
        with pytest.raises(TypeError, match="to_wire") as caught:
            pickle.dumps(thing)
        assert CANARY not in str(caught.value)
    with pytest.raises(TypeError):
        json.dumps(task.secrets["TOKEN"])
    with pytest.raises(TypeError):
        vars(task.secrets["TOKEN"])


@pytest.mark.parametrize(
    "wrong",
    [
        "num_nodes: 0",
        "file_mounts: {/data: 'foo$TOKEN://x'}",
        "file_mounts: {/$TOKEN: {}}",
        "service: {readiness_probe: /, ports: $TOKEN}",
        "service: {readiness_probe: '${TOKEN}'}",
        "volumes: {/x: {size: $TOKEN}}",
        "workdir: {url: x, $TOKEN: y}",
    ],
)
def test_errors_do_not_quote_it(wrong):
    """Neither the error nor what Python prints around it holds the value, even where it was put in."""
    with pytest.raises(SpecError) as caught:
        Task.from_yaml_str(f"secrets: {{TOKEN: {CANARY}}}\n{wrong}")
    told = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert CANARY not in told + json.dumps(caught.value.to_dict())
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "wrong",
    [
        f"secrets: {CANARY}",
        f"secrets: [{CANARY}]",
        f"secrets: {{{CANARY}: null}}",
        f"secrets: {{TOKEN={CANARY}: x}}",
        f"secrets: {{A: [{CANARY}]}}",
        f"secrets: {{'secrets:A': {CANARY}}}",
        f"secrets: {{A: !{CANARY} x}}",
        f"secrets: {{A: *{CANARY}}}",
        f'secrets: {{A: "{CANARY}\\x00"}}',
        f"secrets:\n  A: {CANARY}\n B: [",
    ],
)
def test_errors_about_secrets_do_not_quote_them(wrong):
    """A secret written in the wrong way is not repeated in the error."""
    with pytest.raises(SpecError) as caught:
        load_dag(wrong)
    assert CANARY not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


def test_a_redacted_spec_reads_back_as_withheld(task):
    """`<redacted>` is never taken for a value: it must be given again before the task can be sent."""
    twin = Task.from_yaml_str(task.to_yaml())
    assert twin.secrets["TOKEN"].kind == "withheld"
    assert twin.to_yaml_config() == task.to_yaml_config()
    with pytest.raises(SpecError, match=r"secrets\.TOKEN"):
        twin.to_wire()
    with pytest.raises(SpecError):
        twin.secrets["TOKEN"].reveal()


def test_references_have_no_value():
    """A null secret, a `secrets:NAME` key and a list name secrets that the server keeps."""
    task = Task.from_yaml_config({"secrets": {"A": None, "secrets:B": None}})
    assert [secret.kind for secret in task.secrets.values()] == ["reference", "reference"]
    assert task.to_yaml_config() == {"secrets": {"A": None, "B": None}}
    assert list(Task(secrets=["secrets:C"]).secrets) == ["C"]
    with pytest.raises(SpecError):
        task.secrets["A"].reveal()


def test_a_yaml_dumper_finds_nothing():
    """Even a dumper that writes any object does not get at the value."""
    with pytest.raises(TypeError):
        yaml.dump({"a": Secret(CANARY)})
    assert Secret("x") == Secret("x") != Secret("y")
