"""Logs: every byte once, by offset, across restarts; none deleted before it was acknowledged."""

from __future__ import annotations

import os
import time
from typing import ClassVar

import pytest


def _follow(line, job, rank=0, offset=0, **more):
    """All bytes until eof, acknowledged as they come; and the frames' headers."""
    sub = line.send("log_follow", job=job, rank=rank, offset=offset, **more)
    data, headers = b"", []
    while True:
        frame = line.wait(lambda frame: frame.data is not None and frame.body["sub"] == sub)
        headers.append(frame.body)
        assert frame.body["offset"] == offset + len(data)
        assert len(frame.data) <= 256 * 1024
        data += frame.data
        line.send("log_ack", job=job, rank=rank, offset=offset + len(data))
        if frame.body["eof"]:
            return data, headers


def test_first_bytes_come_at_once_and_eof_last(solo):
    """A follower from before the job gets its bytes while it runs, and eof only when all is over."""
    line = solo.line()
    sub = line.send("log_follow", job=1, rank=0, offset=0)
    solo.submit(run="echo one; sleep 0.5; echo two; (sleep 0.3; echo three) & wait")
    pieces = []
    while not pieces or not pieces[-1].body["eof"]:
        pieces.append(line.wait(lambda frame: frame.data is not None and frame.body["sub"] == sub))
    assert b"".join(piece.data for piece in pieces) == b"one\ntwo\nthree\n"
    assert pieces[0].data == b"one\n"
    assert not solo.marked()


def test_window_stops_the_sender(solo):
    """Without acknowledgements no more than the window comes; they let it go on, to the last byte."""
    solo.submit(run="head -c 3000000 /dev/urandom > data; cat data")
    solo.wait_job("SUCCEEDED")
    line = solo.line()
    sub = line.send("log_follow", job=1, rank=0, offset=0, window=1000000)
    got = b""
    while len(got) < 1000000:
        got += line.wait(lambda frame: frame.data is not None).data
    time.sleep(0.2)
    line.call("ping")
    assert not [frame for frame in line.frames if frame.data is not None]
    while True:
        line.send("log_ack", job=1, rank=0, offset=len(got))
        frame = line.wait(lambda frame: frame.data is not None and frame.body["sub"] == sub)
        got += frame.data
        if frame.body["eof"]:
            break
    assert got == (solo.home / "data").read_bytes()


def test_identical_bytes_across_a_killed_agent(solo, eventually):
    """Read half, acknowledge, kill -9 the agent, go on from the acknowledged offset: the same bytes."""
    solo.submit(run="for i in $(seq 1 400); do echo line $i; sleep 0.002; done")
    line = solo.line()
    line.send("log_follow", job=1, rank=0, offset=0)
    first = b""
    while len(first) < 500:
        first += line.wait(lambda frame: frame.data is not None).data
    assert line.call("log_ack", job=1, rank=0, offset=len(first)) == {"acked": len(first)}
    solo.kill9()
    solo.start()
    assert solo.call("log_ack", job=1, rank=0, offset=0) == {"acked": len(first)}
    rest, _ = _follow(solo.line(), 1, offset=len(first))
    assert (first + rest).decode() == "".join(f"line {i}\n" for i in range(1, 401))


def test_each_node_serves_its_own_rank(make_cluster):
    """The worker's agent streams the worker's rank."""
    nodes = make_cluster(2).start()
    nodes[0].submit(num_nodes=2, run="echo I am $SKYNB_NODE_RANK")
    for node in nodes:
        data, _ = _follow(node.line(), 1, rank=node.rank)
        assert data == f"I am {node.rank}\n".encode()


def test_only_acknowledged_logs_of_final_jobs_are_deleted(tmp_path):
    """Tidying removes a log that is final, let go and fully acknowledged, and no other."""
    from skynb_agent import logs, states

    class Rank:
        def __init__(self, folder, stage, size):
            folder.mkdir()
            self.folder, self.stage, self.log = folder, stage, folder / "log"
            self.log.write_bytes(b"x" * size)
            (folder / "rank.json").write_text("{}")
            os.utime(folder / "rank.json", (0, 0))

    class Host:
        dropped: ClassVar[list[tuple[int, int]]] = []
        ranks: ClassVar[dict[tuple[int, int], Rank]] = {
            (1, 0): Rank(tmp_path / "1", states.ENDED, 10),
            (2, 0): Rank(tmp_path / "2", states.ENDED, 10),
            (3, 0): Rank(tmp_path / "3", states.RUNNING, 0),
        }

        def get(self, job, rank):
            return self.ranks.get((job, rank))

        def drop_logs(self, key):
            self.dropped.append(key)

    shelf = logs.LogShelf(Host())
    shelf._acked = {(1, 0): 10, (2, 0): 9}
    shelf.tidy()
    assert Host.dropped == [(1, 0)]


def test_watch_pushes_each_state(solo):
    """A watcher from rev 0 sees the whole life of a job, in order of rev, and may stop watching."""
    line = solo.line()
    sub = line.call("watch", rev=0)["sub"]
    solo.submit(setup="true")
    seen = []
    while not seen or seen[-1]["state"] != "SUCCEEDED":
        seen.append(line.wait(lambda frame: frame.body.get("sub") == sub).body["job"])
    assert [job["rev"] for job in seen] == sorted(job["rev"] for job in seen)
    assert list(dict.fromkeys(job["state"] for job in seen)) == [
        "PENDING",
        "SETTING_UP",
        "RUNNING",
        "SUCCEEDED",
    ]
    line.call("unsubscribe", sub=sub)
    solo.submit(2)
    solo.wait_job(number=2)
    line.call("ping")
    assert not [frame for frame in line.frames if "sub" in frame.body]


def test_bad_frames_close_the_connection(solo):
    """Garbage gets one clear error and an end; the agent lives on."""
    line = solo.line()
    line.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    frame = line.wait(lambda _: True)
    assert frame.body["error"]["code"] == "bad-request"
    with pytest.raises(AssertionError, match="closed"):
        line.wait(lambda _: True)
    assert solo.call("hello")["protocol"] == 1
