"""Measures one agent on this machine: size, start, memory, latencies, log throughput. Prints JSON.

Run: .venv/bin/python benchmarks/agent_bench.py [--python /path/to/python3.8] [--megabytes 512]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from skynb_agent.protocol import Decoder, Frame, build_zipapp, encode, request


class Line:
    """A client through the rpc verb, as the server's transport uses it."""

    def __init__(self, argv: list[str]) -> None:
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.sink, self.source = self.child.stdin.fileno(), self.child.stdout.fileno()
        self.decoder, self.frames, self.last = Decoder(), [], 0

    def send(self, method: str, **params: Any) -> int:
        self.last += 1
        os.write(self.sink, encode(request(self.last, method, params)))
        return self.last

    def frame(self) -> Frame:
        while not self.frames:
            chunk = os.read(self.source, 1 << 20)
            assert chunk, "the agent left"
            self.frames = self.decoder.feed(chunk)
        return self.frames.pop(0)

    def call(self, method: str, **params: Any) -> Any:
        number = self.send(method, **params)
        while (frame := self.frame()).body.get("id") != number:
            pass
        return frame.body["result"]

    def close(self) -> None:
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


def job(number: int, run: str) -> dict[str, Any]:
    return {"id": number, "name": "bench", "num_nodes": 1, "cpus_per_node": 1, "run": run}


def first_byte(line: Line, number: int) -> tuple[float, float]:
    """Milliseconds from submit to the first byte, and from the byte's writing to its arrival."""
    follow = line.send("log_follow", job=number, rank=0, offset=0)
    began = time.time()
    line.send("submit", job=job(number, 'sleep 0.3; python3 -c "import time; print(time.time())"; sleep 0.2'))
    text = b""
    while not text.endswith(b"\n"):
        frame = line.frame()
        if frame.body.get("sub") == follow and frame.data is not None:
            text += frame.data
    now = time.time()
    while not (frame.body.get("sub") == follow and frame.body["eof"]):
        frame = line.frame()
    return (now - began - 0.3) * 1000, (now - float(text)) * 1000


def submit_to_log(line: Line, number: int) -> float:
    """Milliseconds from submit to the first log byte of `echo`."""
    follow = line.send("log_follow", job=number, rank=0, offset=0)
    began = time.perf_counter()
    line.send("submit", job=job(number, "echo hello"))
    took = 0.0
    while True:
        frame = line.frame()
        if frame.body.get("sub") == follow and frame.data is not None:
            took = took or (time.perf_counter() - began) * 1000
            if frame.body["eof"]:
                return took


def throughput(line: Line, number: int, megabytes: int) -> float:
    """Megabytes a second of a log that is there already, acknowledged each MiB."""
    line.call("submit", job=job(number, f"head -c {megabytes}000000 /dev/zero"))
    while line.call("jobs")["jobs"][-1]["state"] != "SUCCEEDED":
        time.sleep(0.1)
    began, got, acked = time.perf_counter(), 0, 0
    follow = line.send("log_follow", job=number, rank=0, offset=0)
    while True:
        frame = line.frame()
        if frame.body.get("sub") != follow or frame.data is None:
            continue
        got += len(frame.data)
        if got - acked >= 1 << 20:
            acked = got
            line.send("log_ack", job=number, rank=0, offset=acked)
        if frame.body["eof"]:
            return got / 1e6 / (time.perf_counter() - began)


def memory_kib(pid: int) -> int:
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)]))


def cpu_seconds(pid: int) -> float:
    text = subprocess.check_output(["ps", "-o", "cputimes=", "-p", str(pid)])
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        fields = stat.read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return float(text)


def measure(python: str, megabytes: int, folder: Path) -> dict[str, Any]:
    pyz, root, home = folder / "agent.pyz", folder / "r", folder / "home"
    root.mkdir()
    home.mkdir()
    build_zipapp(pyz)
    config = {"cluster_id": "bench", "node_id": "bench-0", "rank": 0, "role": "head", "home": str(home)}
    (root / "config.json").write_text(json.dumps({**config, "slots": {"cpus": 4, "gpus": []}}))
    agent = [python, str(pyz)]
    began = time.perf_counter()
    facts = json.loads(subprocess.check_output([*agent, "start", "--root", str(root)]))
    start_ms = (time.perf_counter() - began) * 1000
    try:
        before = cpu_seconds(facts["pid"])
        time.sleep(5)
        idle_cpu = (cpu_seconds(facts["pid"]) - before) / 5
        figures = {"python": python, "zipapp_bytes": pyz.stat().st_size, "start_ms": start_ms}
        figures.update(idle_rss_kib=memory_kib(facts["pid"]), idle_cpu_percent=idle_cpu * 100)
        line = Line([*agent, "rpc", "--root", str(root)])
        line.call("hello")
        calls = []
        for _ in range(200):
            began = time.perf_counter()
            line.call("ping")
            calls.append((time.perf_counter() - began) * 1000)
        figures["call_ms_median"] = statistics.median(calls)
        figures["submit_to_first_log_byte_ms"] = statistics.median(
            submit_to_log(line, n) for n in range(1, 10)
        )
        figures["written_to_received_ms"] = max(first_byte(line, n)[1] for n in range(10, 15))
        figures["log_mb_per_s"] = throughput(line, 20, megabytes)
        figures["busy_rss_kib"] = memory_kib(facts["pid"])
        line.close()
        return figures
    finally:
        subprocess.run([*agent, "stop", "--kill", "--root", str(root)], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--megabytes", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skab") as folder:
        print(json.dumps(measure(options.python, options.megabytes, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
