"""The process's one catalog: another process refreshes, and the next plan of this one sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from skynb.planning.planner import market_for
from skynb.planning.shared import shared_catalog
from skynb_catalog import Query, cache, editions
from skynb_catalog.snapshots import pack, stamp
from tests.support import price_pages as pages
from tests.support.facts import fact
from tests.support.price_server import price_server

QUERY = Query(instance_type="m.large")
REFRESH = (
    "import sys; from pathlib import Path; from skynb_catalog import cache\n"
    "from skynb_catalog.refresh import refresh\n"
    "cache.SHIPPED = Path(sys.argv[1])\n"
    "assert refresh(['aws'], names=['aws-price-list']).published"
)


@pytest.fixture
def refresh_elsewhere(tmp_path, monkeypatch):
    """Ship one row at 40 cents; the returned call refreshes its price in another process."""
    monkeypatch.setenv("SKYNB_CACHE_DIR", str(tmp_path / "cache"))
    packed = pack([fact()])
    (tmp_path / "offers.xz").write_bytes(packed)
    mark = stamp(packed, "2026-01-01", 1)
    (tmp_path / "stamp.txt").write_text("".join(f"{value}\n" for value in mark))
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "offers.xz")
    with price_server() as server:

        def go(price):
            pages.aws(server, {"us-east-1": [pages.aws_row("m.large", price)]})
            command = [sys.executable, "-c", REFRESH, str(cache.SHIPPED)]
            subprocess.run(command, check=True, env=os.environ | {"SKYNB_CATALOG_MIRROR": server.mirror})

        yield go


def prices(catalog):
    return [offer.hourly_micro for offer in catalog.offers(QUERY)]


def test_a_refresh_of_another_process_is_noticed(refresh_elsewhere):
    """The next market has the new prices, each time; who holds the old catalog goes on with the old ones."""
    before = shared_catalog()
    assert prices(before) == [400_000]
    refresh_elsewhere(0.5)
    between = shared_catalog()
    refresh_elsewhere(0.6)
    assert prices(market_for().catalog) == [600_000]
    assert prices(between) == [500_000]
    assert prices(before) == [400_000]


def test_noticing_costs_no_query_and_opens_nothing(refresh_elsewhere, monkeypatch):
    """Where nothing happened, the same catalog is handed out, and neither it nor the pointer is read."""
    refresh_elsewhere(0.5)
    held = shared_catalog()
    asked = []
    held._db.set_trace_callback(asked.append)
    monkeypatch.setattr(editions, "in_force", lambda: asked.append("the pointer"))
    monkeypatch.setattr(editions, "connect", lambda: asked.append("a database"))
    assert all(shared_catalog() is held for _ in range(100))
    assert asked == []
    assert prices(held) == [500_000]
    assert asked  # the trace does see questions


def test_the_same_edition_is_not_opened_again(refresh_elsewhere):
    """A pointer that was written anew and says the same changes nothing."""
    refresh_elsewhere(0.5)
    held = shared_catalog()
    pointer = editions.folder() / "current"
    pointer.write_bytes(pointer.read_bytes())
    os.utime(pointer, ns=(1, 1))
    assert shared_catalog() is held


def test_what_cannot_be_opened_leaves_the_old_catalog(refresh_elsewhere, tmp_path):
    """A package that was damaged under a running process does not stop its plans."""
    held = shared_catalog()
    (tmp_path / "stamp.txt").unlink()
    folder = editions.folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "current").write_text("nonsense")
    assert shared_catalog() is held


def test_threads_that_ask_while_it_changes_get_a_whole_catalog(refresh_elsewhere):
    """Each sees the old prices or the new, and after it all of them the new."""
    done, seen = threading.Event(), []

    def ask():
        while not done.is_set():
            seen.extend(prices(shared_catalog()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        refresh_elsewhere(0.5)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert set(seen) <= {400_000, 500_000}
    assert prices(shared_catalog()) == [500_000]
