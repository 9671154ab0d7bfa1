"""What the README shows is what the commands print."""

from __future__ import annotations

import re
import shlex

import pytest

from skynb.cli.terminal import run
from tests.support.house import ROOT

SHOWN = re.findall(
    r"^    \$ skynb ((?:gpus|plan) .*)\n((?:    .*\n)+)", (ROOT / "README.md").read_text(), re.MULTILINE
)
AGE = re.compile(r"\d+ (d|days)\b *")  # grows with the days


@pytest.mark.parametrize(("line", "printed"), SHOWN, ids=[line for line, _ in SHOWN])
def test_the_readme_shows_real_output(line, printed, tmp_path, monkeypatch, capsys):
    """Word by word, but for the age of prices."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path))
    assert run(shlex.split(line)) == 0
    expected = "".join(row[4:] + "\n" for row in printed.splitlines())
    assert AGE.sub("", capsys.readouterr().out) == AGE.sub("", expected)


def test_the_readme_shows_something():
    """A pattern that finds nothing would prove nothing."""
    assert len(SHOWN) >= 2
