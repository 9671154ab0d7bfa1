"""Frames and journals, without a kernel."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.kernels.node import journal as journals
from skynb.kernels.node.frames import Decoder, FrameError, encode
from skynb.kernels.node.journal import Journal

PARTS = st.lists(st.binary(max_size=40), max_size=5)


@given(st.lists(PARTS, max_size=6), st.lists(st.integers(1, 60), min_size=1))
def test_frames_survive_any_cutting(frames, cuts):
    """However the stream is cut, the same frames come out, in order."""
    stream = b"".join(encode({"n": number}, parts) for number, parts in enumerate(frames))
    decoder, found, turn = Decoder(), [], 0
    while stream:
        size = cuts[turn % len(cuts)]
        found += decoder.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert found == [({"n": number}, parts) for number, parts in enumerate(frames)]


@pytest.mark.parametrize(
    "text",
    [b"nonsense", b"[]", b'{"sizes": 3}', b"{}", b'{"sizes": ["x"]}', b"\xff"],
)
def test_what_is_no_head_is_refused(text):
    """And nothing else is made of it."""
    with pytest.raises(FrameError):
        list(Decoder().feed(struct.pack("!II", len(text), 0) + text))


def test_a_frame_beyond_all_bounds_is_refused_before_it_is_read():
    """Four bytes do not make this process take gigabytes."""
    with pytest.raises(FrameError, match="bytes"):
        list(Decoder().feed(struct.pack("!II", 10, 2**31)))


@given(st.lists(st.binary(max_size=30), max_size=40), st.integers(0, 60), st.integers(1, 500))
def test_a_journal_gives_back_all_that_it_keeps(tmp_path_factory, said, after, limit):
    """From any number on, in pieces of any size, each frame once and in order."""
    journal = Journal(tmp_path_factory.mktemp("journal"), most=1 << 20)
    for text in said:
        journal.append({"ch": "iopub"}, [text])
    assert journal.last == len(said)
    assert read_all(journal, after, limit) == list(enumerate(said, 1))[after:]
    journal.close()


def test_a_journal_that_is_full_forgets_its_oldest_files(tmp_path, monkeypatch):
    """What is left begins at `first` and is whole."""
    monkeypatch.setattr(journals, "SEGMENT", 1000)
    journal = Journal(tmp_path, most=5000)
    said = [bytes([65 + number % 26]) * 100 for number in range(200)]
    for text in said:
        journal.append({}, [text])
    assert journal.last == 200
    assert 1 < journal.first < 200
    assert read_all(journal, 0, 700) == list(enumerate(said, 1))[journal.first - 1 :]
    assert 4000 < sum(path.stat().st_size for path in tmp_path.iterdir()) < 7000
    journal.close()


FULL = """
import resource, sys
from pathlib import Path
from skynb.kernels.node.frames import Decoder
from skynb.kernels.node.journal import Journal

journal = Journal(Path(sys.argv[1]), most=1 << 20)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
said = 0
while said < 100:
    try:
        journal.append({}, [b"x" * 300])
        said += 1
    except OSError:
        assert said and journal.last == said
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
data, last = journal.read(0, 1 << 20)
assert last == 100 and len(list(Decoder().feed(data))) == 100
"""


def test_a_disk_that_is_full_costs_nothing(tmp_path):
    """What could not be written leaves no trace; once there is room, it goes on as if nothing had been."""
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=True, timeout=30)


def read_all(journal, after, limit):
    decoder, found = Decoder(), []
    while True:
        data, after = journal.read(after, limit)
        if not data:
            return found
        frames = list(decoder.feed(data))
        assert frames[-1][0]["n"] == after
        found += [(head["n"], parts[0]) for head, parts in frames]


def test_heads_are_plain_json():
    """Nothing but JSON and raw bytes travels."""
    frame = encode({"ch": "shell"}, [b"\x80pickle?"])
    size, rest = struct.unpack_from("!II", frame)
    assert json.loads(frame[8 : 8 + size]) == {"ch": "shell", "sizes": [8]}
    assert frame[8 + size :] == b"\x80pickle?"
    assert rest == 8
