"""A kernel on another host, whose cable is pulled at random moments of running cells."""

from __future__ import annotations

import random
import time

import pytest

from tests.support.hosts import lab_missing
from tests.support.remote import distant as cluster_on_a_host
from tests.support.remote import remote
from tests.support.site import site, until

pytestmark = [
    pytest.mark.skipif(bool(lab_missing()), reason=f"no hosts here: {lab_missing()}"),
    pytest.mark.xdist_group("remote-kernels"),
]
CELL = """
import time
from IPython.display import HTML, display
for number in range(40):
    print(number, "x" * (number * 37 % 200), flush=True)
    if number % 10 == 0:
        display(HTML(f"<i>{number}</i>"))
    time.sleep(0.02)
number
"""
END = "import sys\nprint('to stderr', file=sys.stderr)\n1 / 0"


@pytest.fixture(scope="module")
def here(lab):  # which must outlive it
    with site() as made:
        yield made


@pytest.fixture(scope="module")
def host(lab, here):
    return cluster_on_a_host(lab, here)


@pytest.fixture
def distant(host):
    with remote("skynb-distant-venv") as made:
        yield made


def joined(outputs):
    """Text that came in pieces of another size is the same text."""
    found = []
    for kind, what in outputs:
        if found and kind in {"stdout", "stderr"} and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + what)
        else:
            found.append((kind, what))
    return found


@pytest.mark.timeout(300)
def test_nothing_listens_for_strangers(here, host):
    """A kernel opens no port to the network, and what it has is for its login alone."""

    def ports() -> set[str]:
        addresses = [line.split()[3] for line in host.ssh(["ss", "-Hltn"]).stdout.decode().splitlines()]
        return {address for address in addresses if not address.startswith("127.")}

    before = ports()
    with remote("skynb-distant-venv") as made:
        script = "import json, os, sys; at = sys.argv[sys.argv.index('-f') + 1]; print(os.path.dirname(at))"
        folder = made.text(script).strip()
        modes = host.ssh(["stat", "-c", "%a", folder, f"{folder}/kernel.json"]).stdout.decode().split()
        assert modes == ["700", "600"]
        assert ports() == before


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "cuts", [pytest.param(4, id="four"), pytest.param(50, id="fifty", marks=pytest.mark.long)]
)
def test_cells_whose_line_is_cut_give_what_undisturbed_ones_give(distant, host, here, cuts):
    """Byte for byte, whatever breaks: the cable for a moment or longer, the server, the line's processes."""
    plain = [joined(distant.run(CELL)), joined(distant.run(END))]
    chance = random.Random(6)
    for turn in range(cuts):
        cell = (CELL, END)[chance.random() < 0.2]
        number = distant.client.execute(cell)
        time.sleep(chance.uniform(0.0, 0.8))
        how = ("cable", "bridge", "server")[turn % 3]
        if how == "cable":
            host.cut()
            time.sleep(chance.uniform(0.1, 1.2))
            host.heal()
        elif how == "bridge":
            lines = host.processes().items()
            for pid in [pid for pid, line in lines if "kernel-" in line and ".sock" in line]:
                host.ssh(["kill", "-9", str(pid)], check=False)
        else:
            here.kill_server()
        found = joined(distant.outputs(number, 90))
        assert found == plain[cell is END], f"turn {turn}, {how}"


@pytest.mark.timeout(300)
def test_a_host_out_of_reach_is_not_dead(distant, host):
    """For as long as it takes; then the cell goes on where it was."""
    number = distant.client.execute("import time\ntime.sleep(1)\nprint('still here')")
    time.sleep(0.3)
    host.cut()
    try:
        for _ in range(40):
            assert distant.manager.is_alive()
            time.sleep(0.1)
    finally:
        host.heal()
    assert distant.outputs(number, 90) == [("stdout", "still here\n")]


@pytest.mark.timeout(300)
def test_a_host_that_starts_anew_has_lost_its_kernels(lab, host, here):
    """While it is off nobody knows; once it is back, its agent does."""
    with remote("skynb-distant-venv") as made:
        host.kill()
        time.sleep(1)
        assert made.manager.is_alive()
        lab.up("far")
        until(lambda: not made.manager.is_alive(), 120)
