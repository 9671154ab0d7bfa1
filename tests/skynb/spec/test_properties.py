"""Whatever comes in, only SpecError comes out; whatever loads, comes back the same."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skynb.errors import SpecError
from skynb.spec import Dag, Resources, Storage, Task, Volume, load_dag, unexecuted_fields
from skynb.spec.task import Task as SpecTask
from tests.support.depth import examples

GOOD = yaml.safe_load((Path(__file__).parent / "good_specs.yaml").read_text("utf-8"))

names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
secret_texts = texts.filter(lambda text: text != "<redacted>")  # which says that the value was left out
known = st.sampled_from(
    sorted({*Task.FIELDS, *Resources.FIELDS, *Storage.FIELDS, *Volume.FIELDS, "hooks", "path"})
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.sampled_from(["aws", "A100:8", "8+", "1TB", "10m", "secrets:X", "$A", "s3://b", "/", "", "*", b"x"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(known, names, scalars), inner, max_size=4),
    ),
    max_leaves=12,
)
fields = st.dictionaries(st.sampled_from(sorted(SpecTask.FIELDS)), values, max_size=4)

accelerators = st.one_of(
    st.sampled_from(["A100", "H100:8", "80GB+:2", "nvidia:24GB", "T4:0.5"]),
    st.lists(st.sampled_from(["A:1", "B:2", "C"]), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["A", "B", "24GB+"]), st.sampled_from([None, 1, 2.5]), min_size=1),
)
items = st.fixed_dictionaries(
    {},
    optional={
        "infra": st.sampled_from(["aws", "gcp/us-central1", "k8s/a/b", "ssh/x", "*/r", "slurm/a/b"]),
        "cpus": st.sampled_from([1, 0.5, "4+"]),
        "memory": st.sampled_from([1, "16gb+", "3x", "512MB"]),
        "use_spot": st.booleans(),
        "disk_size": st.sampled_from([1, "2TB"]),
        "ports": st.sampled_from([80, "1-2", [3, "4-5"]]),
        "autostop": st.sampled_from([True, False, 5, "1d", {"down": True}]),
        "labels": st.dictionaries(names, texts, max_size=2),
        "job_recovery": st.sampled_from(["FAILOVER", {"strategy": None, "mine": [1, {"a": None}]}]),
        "image_id": st.sampled_from(["docker:x", {None: "a"}]),
    },
)
resources = st.one_of(
    st.tuples(items, accelerators).map(lambda pair: {**pair[0], "accelerators": pair[1]}),
    st.tuples(items, st.lists(items, min_size=1, max_size=3)).map(
        lambda pair: {**pair[0], "ordered": pair[1]}
    ),
    st.tuples(items, st.lists(items, min_size=1, max_size=3)).map(
        lambda pair: {**pair[0], "any_of": pair[1]}
    ),
)
tasks = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "run": texts,
        "setup": texts,
        "num_nodes": st.integers(1, 5000),
        "envs": st.dictionaries(names, st.one_of(texts, st.integers(-9, 9), st.booleans()), max_size=3),
        "secrets": st.dictionaries(names, st.one_of(st.none(), secret_texts), max_size=3),
        "resources": resources,
        "file_mounts": st.dictionaries(
            names, st.sampled_from(["./x", {"name": "b", "mode": "copy"}]), max_size=2
        ),
        "service": st.sampled_from(
            [{"replicas": 2}, {"readiness_probe": {"path": "/x", "post_data": {"a": [1]}}}]
        ),
        "config": st.sampled_from(
            [{}, {"hooks": [{"run": "x"}]}, {"kubernetes": {"pod_config": {"a": {"b": None}}}}]
        ),
        "inputs": st.sampled_from([{"s3://a": 1}]),
    },
)


@settings(max_examples=examples(300), deadline=None)
@given(tasks)
def test_round_trip(config):
    """A valid task, written and read in any of the ways, is the same task."""
    task = Task.from_yaml_config(config)
    written = task.to_yaml_config()
    assert Task.from_yaml_config(written).to_yaml_config() == written
    assert Task.from_yaml_str(task.to_yaml()).to_yaml_config() == written
    assert Task.from_wire(*task.to_wire()).to_wire() == task.to_wire()
    assert set(written) == {key for key, value in config.items() if value is not None}
    assert all(len(item.accelerators) < 2 for item in task.resources.alternatives()[1])
    unexecuted_fields(task)
    repr(task)


@pytest.mark.parametrize("text", GOOD, ids=lambda text: text[:40])
def test_good_specs_round_trip(text):
    """What people write loads, and is written as something that loads to the same."""
    dag = load_dag(text)
    written = dag.to_yaml()
    again = load_dag(written)
    assert again.to_yaml() == written
    for task in dag:
        wired = Task.from_wire(*task.to_wire())
        assert wired.to_yaml_config() == task.to_yaml_config()
        assert [str(item) for item in task.resources.alternatives()]


def only_spec_errors(attempt):
    told = "read"
    try:
        attempt()
    except SpecError as error:
        told = str(error)
    assert 0 < len(told) < 2000


@settings(max_examples=examples(500), deadline=None)
@given(st.one_of(fields, values))
def test_any_value_is_read_or_refused(config):
    """No plain value of any shape raises anything but SpecError."""
    only_spec_errors(lambda: Task.from_yaml_config(config))


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Resources.FIELDS)), values, max_size=3))
def test_any_resources_are_read_or_refused(config):
    """The same for resources, and for the overrides that are laid over others."""
    only_spec_errors(lambda: Resources.from_yaml_config(config))
    only_spec_errors(lambda: Resources(cpus=2, any_of=[{"infra": "aws/x"}]).overridden(config))


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("-:[]{}&*!|>'\"#%@,?\n\t aA1.", max_size=60)))
def test_any_text_is_read_or_refused(text):
    """No text raises anything but SpecError, whatever YAML makes of it."""
    only_spec_errors(lambda: load_dag(text))


def parts(value):
    """Every (container, key) of a nested value."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from parts(value[key])


@settings(max_examples=examples(600), deadline=None)
@given(st.data())
def test_spoiled_specs_are_read_or_refused(data):
    """A good spec with some of its parts replaced raises SpecError, or is as sound as any that loads."""
    text = data.draw(st.sampled_from(GOOD))
    config = next((one for one in reversed(list(yaml.safe_load_all(text))) if one), {})
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(parts(config))
        if places:
            container, key = data.draw(st.sampled_from(places))
            container[key] = data.draw(values)
    try:
        task = Task.from_yaml_config(config)
    except SpecError:
        return
    written = task.to_yaml_config()
    assert Task.from_yaml_str(task.to_yaml()).to_yaml_config() == written
    hash(task.resources)
    unexecuted_fields(task)


def test_hostile_inputs():
    """Depth, cycles, unfolding aliases, huge and strange numbers, foreign objects."""
    loop = {}
    loop["resources"] = loop
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    deep = "x"
    for _ in range(5000):
        deep = [deep]
    texts = [
        "[" * 100_000,
        "{a: " * 5000,
        "- " * 5000,
        bomb,
        "a: " + "9" * 5000,
        "a: 1:99999999999999999999:1",
        "\0",
        "%YAML 9",
    ]
    texts += [
        "a: !!timestamp x",
        "a: !!int x",
        "a: !!float x",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "<<: 5",
        "a: !!set [b]",
        "a: !!omap x",
    ]
    for text in texts:
        with pytest.raises(SpecError):
            load_dag(text)
    for config in (
        loop,
        {"run": deep},
        {"envs": {"A": math.nan}},
        {"run": object()},
        {"envs": {("a",): 1}},
        [loop],
        5,
        b"x",
    ):
        with pytest.raises(SpecError):
            Task.from_yaml_config(config)
    for make in (
        lambda: Task(name=5),
        lambda: Task(nope=1),
        lambda: Task(resources=object()),
        lambda: Task(resources={1, 2}),
        lambda: Task("a", storage_mounts=5),
        lambda: Dag("a b"),
        lambda: Dag().add("x"),
        lambda: Dag(execution="x"),
    ):
        with pytest.raises(SpecError):
            make()
