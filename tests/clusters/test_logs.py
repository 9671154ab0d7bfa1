"""The server's log store, as several ranks write at once."""

from __future__ import annotations

import threading
import time

from skynb_clusters import logs


def test_a_rank_that_begins_sees_no_crash_in_one_that_writes(tmp_path, monkeypatch):
    """While one rank's bytes are down and their line is not, another asks for its size: one line, not two."""
    store = logs.LogStore(tmp_path)
    append = logs._append
    asked = threading.Event()

    def slowly(path, data):
        append(path, data)
        if path.name == "rank-0.log":
            asked.set()
            time.sleep(0.1)

    monkeypatch.setattr(logs, "_append", slowly)
    writer = threading.Thread(target=store.append, args=("cluster-1", 1, 0, b"hello\n"))
    writer.start()
    asked.wait(5)
    assert store.size("cluster-1", 1, 1) == 0
    writer.join()
    assert [(chunk.rank, chunk.data) for chunk in store.reader("cluster-1", 1).next()] == [(0, b"hello\n")]
    assert store.tail("cluster-1", 1) == b"hello\n"


def test_the_journal_is_the_marked_lines_of_the_first_rank(tmp_path):
    """Whole lines only, as they were written, whatever stands around them."""
    store = logs.LogStore(tmp_path)
    assert store.journal("cluster-1", 1) == b""
    for data in (b"hi\n\x1e{1}\nth", b"ere\n\x1e{2", b"}\nnot \x1ehere\n\x1e{cut"):
        store.append("cluster-1", 1, 0, data)
    store.append("cluster-1", 1, 1, b"\x1e{other}\n")
    assert store.journal("cluster-1", 1) == b"\x1e{1}\n\x1e{2}\n"
