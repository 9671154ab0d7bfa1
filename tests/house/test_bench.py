"""The benchmark's reading of the peer's output; its own figures are never asserted."""

from __future__ import annotations

import importlib.util
import sys

from tests.support.house import ROOT

PRINTED = """python 3.11.7  cpus 2  loadavg 0.5 0.5 0.5
python -c pass   first  12.0 ms  median(rest)      11.0 ms  min 10  max 12  n=7
sky --help   first  2300.5 ms  median(rest)    2140.0 ms  min 1  max 2  n=7
modules 40 -> 1981 (sky.* 378); max RSS 10 -> 157 MiB
server memory after first status: 14 processes  RSS 2294 MiB  PSS 1829 MiB  USS 1791 MiB
server memory after all commands: 14 processes  RSS 2431 MiB  PSS 1951 MiB  USS 1914 MiB
cold sky status with server auto-start 21.10 s
sky status   first  24800.0 ms  median(rest)   24700.0 ms  min 1  max 2  n=4
"""


def read(script: str) -> dict[str, float]:
    spec = importlib.util.spec_from_file_location("skynb_bench_peer", ROOT / "benchmarks/peer.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.figures(script, PRINTED)


def test_the_peers_figures_are_found():
    """Medians, first calls, modules, memory and the cold start, by the names that rows carry."""
    found = read("bench_cli.py")
    assert found["sky --help"] == 2140.0
    assert found["python -c pass first"] == 12.0
    assert (found["modules"], found["import rss"]) == (1941.0, 157.0)
    assert (found["server processes"], found["server rss"]) == (14.0, 2431.0)
    assert found["status cold"] == 21100.0
    assert found["sky status"] == 24700.0


def test_the_listing_of_a_thousand_is_another_row():
    """The same command of another script does not overwrite the one without clusters."""
    assert read("bench_status.py")["status 1000"] == 24700.0
    assert "sky status" not in read("bench_status.py")
