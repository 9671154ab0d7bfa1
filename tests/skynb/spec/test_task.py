"""Tasks: reading, changing, substituting, sending."""

import copy
import json

import pytest

from skynb.errors import SpecError
from skynb.spec import Resources, Storage, Task


def test_defaults_of_an_empty_task():
    """An empty file is a task that asks for nothing on one node."""
    task = Task.from_yaml_str("")
    assert task.to_yaml_config() == {}
    assert (task.num_nodes, task.run, task.resources, dict(task.envs)) == (1, None, Resources(), {})
    assert task.api_server_access is True


def test_python_and_yaml_make_the_same():
    """Keywords and YAML are one language; resources may be a Resources, a mapping, a list or a set."""
    written = Task.from_yaml_str("name: a\nrun: |-\n  x\n  y\nresources: {cpus: 4}\nenvs: {A: '1'}")
    made = Task("a", run=["x", "y"], resources=Resources(cpus=4), envs={"A": 1})
    assert made.to_yaml_config() == written.to_yaml_config()
    assert Task(resources=[Resources(cpus=1), {"cpus": 2}]).resources.ordered[1].cpus.value == 2
    assert len(Task(resources={Resources(cpus=1), Resources(cpus=2)}).resources.any_of) == 2


def test_overrides_fill_and_replace():
    """Overrides come first: they fill empty variables, and replace others, as pairs or mappings."""
    config = {"envs": {"A": None, "B": "b"}, "secrets": ["secrets:S"]}
    task = Task.from_yaml_config(config, env_overrides=[("A", "1")], secrets_overrides={"S": "v"})
    assert dict(task.envs) == {"A": "1", "B": "b"}
    assert task.secrets["S"].reveal() == "v"
    assert config["envs"]["A"] is None


def test_substitution():
    """Known variables are put into paths, sizes and numbers; unknown ones stay; nothing else is touched."""
    task = Task.from_yaml_str("""
        envs: {B: bucket, PORT: 8080, DIR: /data}
        secrets: {TOKEN: s3cr3t}
        workdir: ~/$B/${UNKNOWN:-x}
        run: echo $B
        file_mounts: {'$DIR/x': 's3://${B}/$NOPE', /t: {name: '$B', source: /$TOKEN}}
        service: {readiness_probe: /, ports: $PORT, replicas: '${PORT}'}
        volumes: {$DIR: $B}
    """)
    assert task.workdir == "~/bucket/${UNKNOWN:-x}"
    assert task.run == "echo $B"
    assert task.file_mounts["/data/x"] == "s3://bucket/$NOPE"
    assert (task.service.ports, task.service.replicas) == (8080, 8080)
    assert dict(task.volumes) == {"/data": "bucket"}
    assert task.file_mounts["/t"].source == "/$TOKEN"
    assert task.resolved("file_mounts")["/t"].source == "/s3cr3t"


def test_variables_changed_later_are_put_in():
    """Substitution happens on reading a field, so that updated envs take effect."""
    task = Task(envs={"B": "x"}, file_mounts={"/a": "s3://$B"})
    assert task.update_envs([("B", "y")]).file_mounts["/a"] == "s3://y"
    assert task.to_yaml_config()["file_mounts"] == {"/a": "s3://$B"}


def test_a_change_that_is_wrong_changes_nothing():
    """Assigning is checked as reading is, and a refused change leaves the task as it was."""
    task = Task("a", envs={"P": "80"}, service={"readiness_probe": "/", "ports": "$P"})
    before = task.to_yaml_config()
    for change in (
        lambda: setattr(task, "num_nodes", 0),
        lambda: task.set_resources({"cpu": 1}),
        lambda: task.update_envs({"P": "eighty"}),
        lambda: task.set_service("x"),
        lambda: task.update_envs("A"),
    ):
        with pytest.raises(SpecError):
            change()
        assert task.to_yaml_config() == before
    with pytest.raises(AttributeError):
        task.nmae = "x"


def test_methods():
    """Each setter replaces and each update merges."""
    task = Task("a").set_file_mounts({"/a": "x"}).update_file_mounts({"/b": "s3://y"})
    task.update_storage_mounts({"/c": Storage(name="n")})
    assert task.get_local_to_remote_file_mounts() == {"/a": "x"}
    assert task.get_cloud_to_remote_file_mounts() == {"/b": "s3://y"}
    assert task.storage_mounts == {"/c": Storage(name="n")}
    assert not task.set_storage_mounts(None).storage_mounts
    task.set_volumes({"/v": "a"}).update_volumes({"/w": {"size": "10"}})
    assert sorted(task.volumes) == ["/v", "/w"]
    task.set_inputs("s3://i", 10).set_outputs("gs://o", 2.5)
    assert (task.get_inputs(), task.get_estimated_outputs_size_gigabytes()) == ("s3://i", 2.5)
    task.update_workdir(git_url="u", git_ref="r").update_workdir(git_ref="s")
    assert task.workdir.to_yaml_config() == {"url": "u", "ref": "s"}
    task.set_resources_override({"use_spot": True})
    assert task.use_spot
    assert task.set_service(None).service is None


def test_autostop_hook_is_a_hook():
    """The hook of autostop stands beside those of the config, for the event that autostop brings."""
    task = Task(resources={"autostop": {"down": True, "hook": "x"}}, config={"hooks": [{"run": "y"}]})
    assert [(hook.run, hook.events) for hook in task.hooks] == [
        ("y", ("stop", "preemption", "down")),
        ("x", ("down",)),
    ]


def test_wire_round_trip():
    """What is sent is JSON without secret values, and gives back the task with them."""
    task = Task(
        "a",
        envs={"A": "<redacted>"},
        secrets={"T": "value", "R": None, "EMPTY": ""},
        resources={
            "image_id": {None: "x"},
            "any_of": [{"_docker_login_config": {"username": "u", "password": "pw", "server": "s"}}],
        },
    )
    config, secrets = task.to_wire()
    assert secrets == {"T": "value", "EMPTY": "", "resources.any_of[0]._docker_login_config.password": "pw"}
    sent = json.loads(json.dumps(config))
    assert sent == config
    assert "pw" not in json.dumps(config)
    twin = Task.from_wire(sent, secrets)
    assert twin.to_wire() == (config, secrets)
    choice = twin.resources.alternatives()[1][0]
    assert choice._docker_login_config.password.reveal() == "pw"


def test_copies_are_other_tasks():
    """A copy is changed alone; two tasks of one spec are two tasks."""
    task = Task("a", secrets={"T": "v"})
    twin = copy.deepcopy(task).update_envs({"A": "1"})
    assert not task.envs
    assert twin.secrets["T"].reveal() == "v"
    assert copy.copy(task) != task


def test_files_are_read(tmp_path):
    """from_yaml reads a file, also with a byte order mark; a missing one is an error of the spec."""
    path = tmp_path / "t.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert Task.from_yaml(path).name == "x"
    with pytest.raises(SpecError, match="cannot be read"):
        Task.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        Task.from_yaml(str(tmp_path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="UTF-8"):
        Task.from_yaml(path)
