"""From words, files and cells to tasks."""

import click
import pytest

from skynb.cli import options
from skynb.cli.entrypoint import is_yaml, task_from
from skynb.cli.terminal import Terminal
from skynb.errors import SpecError


def parsed(*words, body=None):
    """The task that these words of `skynb launch` make."""

    @click.command()
    @click.argument("entrypoint", nargs=-1)
    @options.task_fields
    def command(entrypoint, **fields):
        return task_from(entrypoint, fields)

    face = Terminal()
    face.body = body
    return command.main(list(words), standalone_mode=False, obj=face)


def test_a_bare_command_is_the_run_section():
    """Words are joined as SkyPilot joins them; nothing at all is a task that only wants machines."""
    assert parsed("python", "train.py").run == "python train.py"
    assert parsed("--", "ls", "-l").run == "ls -l"
    assert parsed().run is None


def test_options_lie_over_the_file(tmp_path):
    """Each option reaches its field; what is not given stays."""
    file = tmp_path / "task.yaml"
    file.write_text("name: old\nnum_nodes: 2\nresources: {infra: aws, cpus: 4}\nenvs: {A: 1}\nrun: echo\n")
    line = "--name new --gpus A100:8 --cpus 8+ --memory 64 --env A=2 --env B=x=y --secret S=t --disk-size 50"
    task = parsed(str(file), *line.split())
    assert (task.name, task.num_nodes, task.run) == ("new", 2, "echo")
    assert dict(task.envs) == {"A": "2", "B": "x=y"}
    assert task.secrets["S"].reveal() == "t"
    assert task.get_resource_config() == {
        "infra": "aws",
        "accelerators": "A100:8",
        "cpus": "8+",
        "memory": 64,
        "disk_size": 50,
    }


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--infra gcp/us-central1", "infra", "gcp/us-central1"),
        ("--cloud gcp --region us-central1", "region", "us-central1"),
        ("--use-spot", "use_spot", True),
        ("--no-use-spot", "use_spot", False),
        ("--instance-type p4d.24xlarge", "instance_type", "p4d.24xlarge"),
        ("--disk-tier best", "disk_tier", "best"),
        ("--network-tier best", "network_tier", "best"),
        ("--image-id ami-1", "image_id", "ami-1"),
        ("--ports 80 --ports 8000-8010", "ports", ["80", "8000-8010"]),
        ("--priority 7", "priority", 7),
        ("--local-disk nvme:300", "local_disk", "nvme:300"),
    ],
)
def test_resource_options(words, field, value):
    """SkyPilot's options are SkyPilot's fields."""
    assert parsed(*words.split(), "true").get_resource_config()[field] == value


def test_none_takes_a_field_away(tmp_path):
    """As in SkyPilot: `--gpus none` over a file that asks for some."""
    file = tmp_path / "task.yaml"
    file.write_text("resources: {accelerators: A100, cpus: 4}\n")
    assert parsed(str(file), "--gpus", "none").get_resource_config() == {"cpus": 4}


def test_files_of_variables(tmp_path, monkeypatch):
    """Comments, quotes and `export` are known; options go over the file; a wrong line has a number."""
    file = tmp_path / "env"
    file.write_text("# hi\nexport A='a b'\nB=1 # one\n\nC=\"\"\nD=old\n")
    monkeypatch.setenv("E", "here")
    task = parsed("--env-file", str(file), "--env", "D=new", "--env", "E", "true")
    assert dict(task.envs) == {"A": "a b", "B": "1", "C": "", "D": "new", "E": "here"}
    file.write_text("A=1\nhunter2\n")
    with pytest.raises(SpecError, match="line 2: NAME=value is expected") as caught:
        parsed("--secret-file", str(file), "true")
    assert "hunter2" not in str(caught.value)


def test_a_variable_without_a_value_is_filled_in(tmp_path):
    """`envs: {A: }` in the file waits for --env A=...; the same for secrets."""
    file = tmp_path / "task.yaml"
    file.write_text("envs: {A: }\nsecrets: {S: }\nrun: echo\n")
    task = parsed(str(file), "--env", "A=1", "--secret", "S=2")
    assert (task.envs["A"], task.secrets["S"].reveal()) == ("1", "2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: echo hi\n", True),
        ("resources:\n  infra: local\n\nrun: |\n  echo\n", True),
        ("runn: echo\n", True),  # a wrong key is told as such, not run as a program
        ("run: 'unclosed\n", True),
        ("echo hi\n", False),
        ("echo a: b\n", False),
        ("#!/bin/bash\necho hi\n", False),
        ("for n in 1 2; do\n  echo $n: x\ndone\n", False),
        ("cat <<END\nx: {\nEND\n", False),
        ("- a\n- b\n", False),
        ("", False),
    ],
)
def test_yaml_or_script(text, expected):
    """A mapping of words is YAML, also a broken one that has a task's key; all else is a script."""
    assert is_yaml(text) is expected


def test_cells():
    """The body is the task, as YAML or as a script, which may begin with its shell."""
    assert parsed(body="name: a\nrun: echo hi\n").name == "a"
    assert (
        parsed("--num-nodes", "2", body="\n#!/usr/bin/env bash\necho hi\n").run
        == "#!/usr/bin/env bash\necho hi"
    )
    assert parsed(body="\n").run is None


def test_standard_input(monkeypatch):
    """`-` reads either form."""
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("name: piped\nrun: echo\n"))
    assert parsed("-").name == "piped"
