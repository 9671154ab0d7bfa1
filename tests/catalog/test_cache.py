from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from skynb_catalog import Catalog, CatalogError, Query, cache

OPEN = """
from skynb_catalog import Catalog, Query
catalog = Catalog.open()
print(len(catalog.offers(Query(("H100",), 8))), catalog.stamp.hash)
"""
H100S = Query(("H100",), 8)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYNB_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    cache._own_folder.cache_clear()


def database(folder):
    (path,) = folder.glob("*.sqlite")
    return path


def ask(query=H100S):
    catalog = Catalog.open()
    try:
        return catalog.offers(query)
    finally:
        catalog.close()


def test_where_the_cache_lies(monkeypatch, tmp_path):
    """$SKYNB_CACHE_DIR, else $XDG_CACHE_HOME/skynb, else ~/.cache/skynb."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SKYNB_CACHE_DIR", raising=False)
    assert cache.cache_dir() == tmp_path / ".cache" / "skynb"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg" / "skynb"
    monkeypatch.setenv("SKYNB_CACHE_DIR", str(tmp_path / "own"))
    assert cache.cache_dir() == tmp_path / "own"


def test_processes_that_start_at_once_all_get_a_whole_catalog(own_cache):
    """Four processes with an empty cache: same answers, one file and its seal, no leftovers."""
    running = [
        subprocess.Popen([sys.executable, "-c", OPEN], stdout=subprocess.PIPE, env=os.environ.copy())
        for _ in range(4)
    ]
    answers = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(answers) == 1
    assert sorted(path.suffix for path in own_cache.iterdir()) == [".seal", ".sqlite"]


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other"])
def test_a_corrupt_file_is_built_anew(own_cache, shipped, damage):
    """Cut short, overwritten, or of another snapshot: noticed at opening and replaced."""
    right = ask()
    path = database(own_cache)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[: len(whole) // 2],
            "text": b"hello" * 1000,
            "other": whole.replace(shipped.stamp.hash.encode(), b"0" * 64),
        }[damage]
    )
    assert ask() == right
    assert path.read_bytes() == whole


def test_damage_behind_the_header_is_mended_when_met(own_cache):
    """Pages of zeros show only when a query reads them; the query still answers."""
    right = ask()
    path = database(own_cache)
    whole = path.read_bytes()
    path.write_bytes(whole[: 200 * 4096] + b"\xff" * (len(whole) - 200 * 4096))
    assert ask() == right
    assert path.read_bytes() == whole


def test_a_file_where_the_folder_should_be_falls_back(own_cache):
    """A cache folder that cannot exist: the catalog works from a folder of the process."""
    own_cache.write_text("not a folder")
    assert ask()
    assert own_cache.read_text() == "not a folder"


def test_nowhere_to_write_is_one_clear_error(own_cache, monkeypatch):
    """If the temporary folder fails too, one CatalogError says what to do."""
    own_cache.write_text("not a folder")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(CatalogError, match="SKYNB_CACHE_DIR") as refused:
        Catalog.open()
    assert "No space left" in str(refused.value)


def test_a_full_disk_leaves_no_part_behind(own_cache, monkeypatch):
    """A build that fails midway removes its temporary file."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    own_cache.mkdir()
    monkeypatch.setattr("skynb_catalog.schema._write_names", full)
    with pytest.raises(OSError, match="No space"):
        cache.build(own_cache / "catalog-x.sqlite", cache.shipped_stamp(), cache.shipped_packed())
    assert list(own_cache.iterdir()) == []


def test_what_older_versions_left_is_swept(own_cache):
    """Another version's recent file stays, one of last year goes."""
    own_cache.mkdir()
    old, recent = own_cache / "catalog-0-old.sqlite", own_cache / "catalog-0-new.sqlite"
    for path in (old, recent):
        path.write_text("")
    long_ago = time.time() - 365 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    ask()
    assert not old.exists()
    assert recent.exists()


def test_opening_reads_no_snapshot(own_cache):
    """With the cache present, a process imports neither lzma nor the builder."""
    ask()
    code = OPEN + "import sys; print([m for m in sys.modules if m in ('lzma', 'skynb_catalog.snapshots')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_database_is_read_only(shipped):
    """Nobody changes the cached file by accident."""
    with pytest.raises(Exception, match="readonly"):
        shipped._db.execute("DELETE FROM meta")
