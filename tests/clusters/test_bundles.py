"""Working folders are packed as they are when asked for, without what the ignore file names."""

from __future__ import annotations

import tarfile

import pytest

from skynb.errors import SpecError
from skynb_clusters.bundles import Bundles


@pytest.fixture
def bundles(tmp_path):
    return Bundles(tmp_path / "bundles")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "work"
    for name in ("a.py", "data/big.bin", "data/keep.txt", ".git/config", "out/x.log", "src/out/y.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(bundles: Bundles, reference: str) -> set[str]:
    with tarfile.open(bundles._folder / reference) as archive:
        return {member.name for member in archive if member.isfile()}


def test_everything_but_git_travels(bundles, folder):
    """Without an ignore file the whole folder is packed, except the repository's own data."""
    assert names(bundles, bundles.pack(str(folder))) == {
        "a.py",
        "data/big.bin",
        "data/keep.txt",
        "out/x.log",
        "src/out/y.py",
    }


def test_the_first_ignore_file_counts(bundles, folder):
    """.skyignore is heeded with git's rules, negations and anchors too; .gitignore only without it."""
    (folder / ".gitignore").write_text("a.py\n")
    (folder / ".skyignore").write_text("/out/\ndata/*\n!data/keep.txt\n")
    assert names(bundles, bundles.pack(str(folder))) == {
        ".gitignore",
        ".skyignore",
        "a.py",
        "data/keep.txt",
        "src/out/y.py",
    }


def test_a_missing_folder_is_the_askers_mistake(bundles, tmp_path):
    """One clear error, and nothing is left behind."""
    with pytest.raises(SpecError, match="workdir: there is no folder"):
        bundles.pack(str(tmp_path / "nowhere"))


def test_dropping_twice_is_fine(bundles, folder):
    """After a drop the packed folder is gone; a second drop does nothing."""
    reference = bundles.pack(str(folder))
    bundles.drop(reference)
    bundles.drop(reference)
    assert list(bundles._folder.iterdir()) == []
