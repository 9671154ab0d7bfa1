"""The tree itself: help, lazy commands, completion, questions."""

import click
import pytest
from click.testing import CliRunner

from skynb.cli.terminal import Terminal, run
from skynb.cli.tree import _COMMANDS, tree
from skynb_magics.completion import complete


def walk(command, path=()):
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), (*path, name))


COMMANDS = list(walk(tree))


@pytest.mark.parametrize("path", [path for path, _ in COMMANDS], ids=" ".join)
def test_every_command_has_help(path):
    """And its table of short lines says what the command says of itself."""
    answer = CliRunner().invoke(tree, [*path, "--help"], obj=Terminal())
    assert answer.exit_code == 0, answer.output
    assert "Usage:" in answer.output


def test_what_prints_a_result_takes_output():
    """-o is on every command that returns something."""
    lacking = {
        path
        for path, command in COMMANDS
        if not isinstance(command, click.Group) and not any(one.name == "output" for one in command.params)
    }
    assert lacking == {("server", "logs"), ("ssh",)}


def test_the_table_of_commands_resolves():
    """Each row names a command that exists; hidden ones have no line."""
    with click.Context(tree) as context:
        assert all(tree.get_command(context, name) for name in _COMMANDS)
        assert "cost-report" not in tree.list_commands(context)


@pytest.mark.parametrize(
    ("text", "expected", "fragment"),
    [
        ("st", {"status", "stop", "start"}, "st"),
        ("launch --num", {"--num-nodes"}, "--num"),
        ("launch --wait-for ", {"jobs_and_ssh", "jobs", "none"}, ""),
        ("launch --wait-for=jo", {"jobs_and_ssh", "jobs"}, "jo"),
        ("dask ", {"up", "scale", "down", "status"}, ""),
        ("server sta", {"start", "status"}, "sta"),
        ("status -o j", {"json"}, "j"),
        ("launch --dock", set(), "--dock"),  # what is refused is not offered
    ],
)
def test_completion(text, expected, fragment, monkeypatch, tmp_path):
    """Commands, options, choices; without a server, and starting none."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path / "home"))
    items, replaced = complete(text)
    assert ({item.value for item in items}, replaced) == (expected, fragment)
    assert complete("down x")[0] == []
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_completion_twice_adds_one_line(shell, tmp_path, monkeypatch, capsys):
    """And uninstalling takes away what was added, and nothing else."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda _: None)
    for which in (shell, "auto"):
        assert run(["--install-shell-completion", which]) == 0
    rc = next(
        path for path in (".bashrc", ".zshrc", ".config/fish/config.fish") if (tmp_path / path).exists()
    )
    assert (tmp_path / rc).read_text().count("skynb completion") == 1
    assert "_SKYNB_COMPLETE" in (tmp_path / "home" / f"completion.{shell}").read_text()
    (tmp_path / rc).write_text("mine\n" + (tmp_path / rc).read_text())
    assert run(["--uninstall-shell-completion", shell]) == 0
    assert (tmp_path / rc).read_text() == "mine\n"
    assert list((tmp_path / "home").iterdir()) == []


def test_a_no_ends_it(monkeypatch, capsys):
    """On a terminal, a question that is not answered with yes changes nothing and exits with 1."""
    from skynb.cli import moving

    monkeypatch.setattr(moving, "_named", lambda *_: ["a", "b"])
    monkeypatch.setattr(Terminal, "asks", lambda _: True)
    monkeypatch.setattr("skynb.client.sdk.down", lambda *_, **__: pytest.fail("nothing may move"))
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert run(["down", "a", "b"]) == 1
    assert "Aborted." in capsys.readouterr().err


def test_interrupting_is_told(monkeypatch, capsys):
    """Ctrl-C outside of a log exits with 130 and says that what was asked for goes on."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("skynb.client.sdk.status", interrupted)
    assert run(["status"]) == 130
    assert "goes on" in capsys.readouterr().err
