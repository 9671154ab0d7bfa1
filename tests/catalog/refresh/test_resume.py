"""Interrupted, killed, crowded: what a refresh leaves behind, and what the next one asks for."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from skynb_catalog import Catalog, CatalogError, Query, cache, editions
from skynb_catalog.refresh import spool
from tests.support import price_pages as pages
from tests.support import price_server as serving
from tests.support.price_server import Page

pytestmark = pytest.mark.usefixtures("shipped_few")

RIGHT = [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 55)]
TWO = {"us-east-1": RIGHT, "eu-west-1": [pages.aws_row("m.large", "0.45")]}
HERE, THERE = f"{pages.AWS}/us-east-1/index.csv", f"{pages.AWS}/eu-west-1/index.csv"
H100S = Query(("H100",), 8, clouds=("aws",))
CHILD = """
import sys
from pathlib import Path
from skynb_catalog import cache
cache.SHIPPED = Path(sys.argv[1])
{prelude}
from skynb_catalog.refresh import SOURCES, refresh
from skynb_catalog.refresh.fetching import Settings
report = refresh(["aws"], names=["aws-price-list"], settings=Settings(mirror=sys.argv[2], pause=0.01))
print(report.published, report.ok)
"""


def child(server, prelude="", **options):
    """A process that refreshes AWS."""
    command = [sys.executable, "-c", CHILD.format(prelude=prelude), str(cache.SHIPPED), server.mirror]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def prices():
    catalog = Catalog.open()
    try:
        return [offer.hourly_micro for offer in catalog.offers(H100S)]
    finally:
        catalog.close()


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_only_what_is_missing_is_asked_again(server, run, rows):
    """A region that broke is asked for again; the one that had come is not."""
    pages.aws(server, TWO)
    right = server.pages[THERE]
    server.pages[THERE] = Page(script=serving.cut(b"x" * 1000, 10))
    report = run("aws", names=["aws-price-list"])
    assert report.sources[0].state == "in part"
    server.pages[THERE] = right
    server.asked.clear()
    report = run("aws", names=["aws-price-list"])
    assert [place for place in server.asked if place.endswith(".csv")] == [THERE]
    assert (report.sources[0].resumed, report.sources[0].asked, report.ok) == (1, 1, True)
    assert rows("aws")["eu-west-1", None, "m.large"].hourly_micro == 450_000


def test_a_reset_in_the_middle_is_tried_again_at_once(server, run):
    """The first answer breaks, the second is whole: nobody needs to know."""
    pages.aws(server, TWO)
    server.pages[HERE] = [Page(script=serving.cut(b"x" * 1000, 10)), server.pages[HERE]]
    report = run("aws", names=["aws-price-list"])
    assert report.ok
    assert [server.asked.count(place) for place in (HERE, THERE)] == [2, 1]


def test_nothing_is_downloaded_twice(server, run, rows):
    """After a whole refresh the next one asks with the validators, and 304 keeps the rows."""
    pages.aws(server, TWO, etag='"v1"')
    assert run("aws", names=["aws-price-list"]).ok
    before = rows("aws")
    server.headers.clear()
    report = run("aws", names=["aws-price-list"])
    assert [sent.get("If-None-Match") for sent in server.headers] == [None, '"v1"', '"v1"']
    assert (report.sources[0].unchanged, report.ok) == (2, True)
    assert rows("aws") == before
    pages.aws(server, TWO | {"eu-west-1": [pages.aws_row("m.large", "0.46")]}, etag='"v2"')
    assert run("aws", names=["aws-price-list"]).sources[0].unchanged == 0
    assert rows("aws")["eu-west-1", None, "m.large"].hourly_micro == 460_000


def test_a_version_of_gpuhunt_is_fetched_once(server, run):
    """Its version page is its validator."""
    pages.gpuhunt(server, "gcp", [pages.item("e2-standard-8", "us-central1-a", 0.27)])
    assert run("gcp").ok
    server.asked.clear()
    assert run("gcp").sources[0].unchanged == 1
    assert server.asked == [f"{pages.GPUHUNT}/gcp/version"]


def test_a_304_for_nothing_is_an_error(server, run):
    """Who says "unchanged" to somebody who has nothing has not answered."""
    pages.aws(server, TWO)
    server.pages[HERE] = Page(status=304)
    report = run("aws", names=["aws-price-list"])
    assert dict(report.sources[0].failures)["us-east-1"].startswith("it says that nothing changed")


def test_a_damaged_spool_is_fetched_anew(server, run, own_cache):
    """Kept rows that were cut short or overwritten do not count."""
    pages.aws(server, TWO, etag='"v1"')
    assert run("aws", names=["aws-price-list"]).ok
    first, second = (own_cache / "refresh" / "aws-price-list").glob("*.rows")
    first.write_bytes(first.read_bytes()[:-20])
    second.write_bytes(b"hello")
    assert run("aws", names=["aws-price-list"]).sources[0].unchanged == 0


def test_an_old_round_is_not_gone_on_with(server, run, monkeypatch):
    """What came long ago is asked for again, though that refresh was never finished."""
    pages.aws(server, TWO)
    server.pages[THERE] = Page(status=404)
    run("aws", names=["aws-price-list"])
    monkeypatch.setattr(spool, "ROUND_SECONDS", 0.0)
    assert run("aws", names=["aws-price-list"]).sources[0].resumed == 0


def test_interrupted_what_has_come_is_kept(server, own_cache):
    """Ctrl-C while the second region drips: it ends soon, the old catalog stays, the first region is kept."""
    pages.aws(server, TWO)
    right = server.pages[HERE]
    server.pages[HERE] = Page(script=serving.drip)  # eu-west-1 comes before it
    process = child(server)
    wait_for(lambda: HERE in server.asked)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    assert prices() == [55_000_000]
    assert editions.in_force() == cache.shipped_stamp()
    server.pages[HERE] = right
    server.asked.clear()
    process = child(server)
    assert process.communicate(timeout=60)[0] == "True True\n"
    assert [place for place in server.asked if place.endswith(".csv")] == [HERE]


STAGES = {
    "while a unit is written": ("skynb_catalog.refresh.spool", "json.dumps"),
    "before packing": ("skynb_catalog.refresh.run", "pack"),
    "before the edition is written": ("skynb_catalog.editions", "_write"),
    "before the database is renamed": ("skynb_catalog.schema", "write"),
    "before the pointer is renamed": ("skynb_catalog.editions", "os.fsync"),
    "after the pointer is renamed": ("skynb_catalog.editions", "_sweep"),
}
KILL = """
import os, signal
import {module} as module
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
calls = [0]
def later(*args, **options):
    calls[0] += 1
    return killed() if calls[0] > {skip} else right(*args, **options)
*path, name = "{name}".split(".")
target = getattr(module, path[0]) if path else module
right = getattr(target, name)
setattr(target, name, later)
"""


@pytest.mark.parametrize(
    ("stage", "skip"), [*((stage, 0) for stage in STAGES), ("before the pointer is renamed", 2)]
)
def test_killed_at_any_stage(server, own_cache, run, stage, skip):
    """After a kill -9 whoever opens sees the old prices or the new ones, and the next refresh works."""
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 60)]})
    module, name = STAGES[stage]
    process = child(server, KILL.format(module=module, name=name, skip=skip))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert prices() == ([60_000_000] if stage.startswith("after") else [55_000_000])
    assert run("aws", names=["aws-price-list"]).published
    assert prices() == [60_000_000]
    assert not [name for name in files(own_cache / "editions") if name.endswith(".part")]
    assert not [name for name in files(own_cache / "refresh") if name.endswith(".part")]


def test_a_full_disk_leaves_the_old_one(server, own_cache):
    """No file may grow: one clear error, the old catalog stays, no part is left behind."""
    prices()
    pages.aws(server, TWO)
    before = files(own_cache)

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    prelude = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    process = child(server, prelude, preexec_fn=small)
    _, said = process.communicate(timeout=60)
    assert "cannot be written; the old one stays" in said or "cannot be unpacked" in said
    assert prices() == [55_000_000]
    left = [name for name in files(own_cache) if name not in before]
    assert not [name for name in left if name.endswith(".part")]


def test_two_at_once(server, run):
    """The second says so and touches nothing; the first goes on."""
    pages.aws(server, TWO)
    server.pages[HERE] = Page(script=serving.drip)
    process = child(server)
    try:
        wait_for(lambda: HERE in server.asked)
        with pytest.raises(CatalogError, match="another refresh is running"):
            run("aws", names=["aws-price-list"])
    finally:
        process.kill()
        process.communicate()
    pages.aws(server, TWO)
    assert run("aws", names=["aws-price-list"]).ok


def test_a_cache_that_cannot_be_written(server, run, own_cache):
    """One clear error that says what to set."""
    own_cache.write_text("not a folder")
    with pytest.raises(CatalogError, match="SKYNB_CACHE_DIR"):
        run("aws", names=["aws-price-list"])
    assert server.asked == []
    assert prices() == [55_000_000]


@pytest.mark.parametrize("damage", ["pointer", "empty pointer", "packed", "gone", "database", "both"])
def test_a_damaged_edition_falls_back(server, run, own_cache, damage):
    """A broken pointer or edition: the shipped prices; a broken database is built anew from the edition."""
    pages.aws(server, {"us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", 60)]})
    assert run("aws", names=["aws-price-list"]).published
    stamp = editions.in_force()
    packed = editions.folder() / f"{stamp.hash[:16]}.xz"
    (database,) = own_cache.glob(f"*{stamp.hash[:16]}.sqlite")
    if damage == "pointer":
        (editions.folder() / "current").write_bytes(b"\xff\x00skynb" * 100)
    if damage == "empty pointer":
        (editions.folder() / "current").write_bytes(b"")
    if damage in {"packed", "both"}:
        packed.write_bytes(packed.read_bytes()[:-1])
    if damage == "gone":
        packed.unlink()
    if damage in {"database", "both", "gone"}:
        database.write_bytes(b"hello")
    shipped = damage in {"pointer", "empty pointer", "both", "gone"}
    assert prices() == [55_000_000 if shipped else 60_000_000]
    assert bool(editions.fault()) == (damage != "database")
    assert run("aws", names=["aws-price-list"]).published
    assert prices() == [60_000_000]


def test_damage_that_shows_late_is_mended(server, run, own_cache):
    """Pages of a refreshed database that go bad under an open catalog are built anew from the edition."""
    many = [pages.aws_row(f"m{number}.large", 1) for number in range(500)]
    pages.aws(server, {"us-east-1": [pages.aws_row("p5.48xlarge", 60), *many]})
    assert run("aws", names=["aws-price-list"]).published
    (database,) = own_cache.glob(f"*{editions.in_force().hash[:16]}.sqlite")
    whole = database.read_bytes()
    database.write_bytes(whole[: 4096 * 8] + b"\xff" * (len(whole) - 4096 * 8))
    assert prices() == [60_000_000]
    assert database.read_bytes() == whole


def test_old_editions_are_swept(server, run, own_cache):
    """The one in force and the one before stay, whatever is refreshed."""
    for price in range(60, 65):
        pages.aws(
            server, {"us-east-1": [pages.aws_row("m.large", "0.41"), pages.aws_row("p5.48xlarge", price)]}
        )
        assert run("aws", names=["aws-price-list"]).published
    assert len(list(editions.folder().glob("*.xz"))) == 2
    assert prices() == [64_000_000]


def test_readers_see_one_edition_or_the_other(server, run):
    """Opening again and again while refreshes land never fails and never mixes."""
    seen: set[tuple[int, ...]] = set()
    stop = threading.Event()
    wrong: list[Exception] = []

    def read():
        while not stop.is_set():
            try:
                seen.add(tuple(prices()))
            except Exception as error:  # noqa: BLE001 - any is wrong
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for price in (60, 61, 62):
            pages.aws(server, {"us-east-1": [RIGHT[0], pages.aws_row("p5.48xlarge", price)]})
            assert run("aws", names=["aws-price-list"]).published
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert seen <= {(55_000_000,), (60_000_000,), (61_000_000,), (62_000_000,)}


def test_opening_a_refreshed_catalog_imports_nothing_more(server, run):
    """Neither JSON nor the refresh nor the builder: a first plan stays as fast as it was."""
    pages.aws(server, TWO)
    assert run("aws", names=["aws-price-list"]).published
    prices()
    code = (
        "import sys; from pathlib import Path; from skynb_catalog import Catalog, cache\n"
        "cache.SHIPPED = Path(sys.argv[1]); Catalog.open()\n"
        "names = {'json', 'lzma', 'tempfile', 'skynb_catalog.refresh', 'skynb_catalog.snapshots'}\n"
        "print(sorted(names & {*sys.modules}))"
    )
    command = [sys.executable, "-c", code, str(cache.SHIPPED)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ.copy())
    assert done.stdout == "[]\n"


def wait_for(happened):
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
