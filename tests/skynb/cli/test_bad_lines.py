"""Mistakes on the command line and in magics: told in a sentence, with an exit code, and nothing happens."""

import os
import shlex
from pathlib import Path

import pytest
import yaml
from IPython.core.error import UsageError

from skynb.cli.terminal import run
from skynb.errors import SkynbError
from skynb_magics import cell

ROWS = yaml.safe_load(Path(__file__).with_name("bad_lines.yaml").read_text())


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path, monkeypatch):
    """A home of its own, which must stay as it is: a mistake starts no server."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    yield
    assert not (tmp_path / "home").exists()


def rows(face):
    chosen = [row for row in ROWS if row.get("face", face) == face]
    return pytest.mark.parametrize("row", chosen, ids=lambda row: (row["line"] + row.get("cell", ""))[:40])


@rows("cli")
def test_the_terminal_says_it(row, capsys):
    """One message on standard error, no traceback, the exit code of its kind."""
    assert run(shlex.split(row["line"])) == row["exit"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "Error: " in err
    assert row["says"] in " ".join(err.split())
    assert "Traceback" not in err
    assert row.get("silent", os.sep * 9) not in err


@rows("magic")
def test_the_magic_says_it(row):
    """A wrong line is IPython's UsageError, a wrong task a SkynbError; both are one line."""
    with pytest.raises((UsageError, SkynbError)) as caught:
        cell.run(None, row["line"], row.get("cell"))
    text = str(caught.value)
    assert row["says"] in text
    assert "\n" not in text
    assert row.get("silent", os.sep * 9) not in text
    if "exit" in row:
        assert isinstance(caught.value, UsageError) == (row["exit"] == 2)
