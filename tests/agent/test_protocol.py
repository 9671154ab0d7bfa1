"""Frames survive any cut; anything else is refused."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb_agent.protocol import MAX_FRAME, Decoder, Frame, FrameError, answer, encode, failure, request

JSON = st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(), max_size=4)
FRAMES = st.lists(st.tuples(JSON, st.none() | st.binary(max_size=300)), max_size=6)


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_any_cut_gives_the_same_frames(frames, cuts):
    """Whatever sizes the bytes arrive in, the frames come out as they went in."""
    stream = b"".join(encode(body, data) for body, data in frames)
    decoder, got, at, turn = Decoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        got += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == [Frame(body, data) for body, data in frames]


@given(st.binary(min_size=5, max_size=200))
def test_garbage_never_does_worse_than_frame_error(garbage):
    """Random bytes give frames, wait for more, or FrameError; nothing else escapes."""
    with suppress(FrameError):
        Decoder().feed(garbage)


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">cI", b"X", 0),
        struct.pack(">cI", b"J", MAX_FRAME + 1),
        struct.pack(">cI", b"J", 2) + b"[]",
        struct.pack(">cI", b"J", 1) + b"{",
        struct.pack(">cI", b"J", 2) + b"\xff\xff",
        struct.pack(">cI", b"B", 1) + b"x",
        struct.pack(">cI", b"B", 4) + b"\0\x09{}",
    ],
)
def test_bad_frames_are_refused(stream):
    """Unknown kinds, too large, not an object, not JSON, a header that is not there: FrameError at once."""
    with pytest.raises(FrameError):
        Decoder().feed(stream)


def test_too_large_is_refused_when_written():
    """A frame above the limit is the writer's error."""
    with pytest.raises(FrameError):
        encode({}, b"x" * MAX_FRAME)


def test_bodies():
    """The three bodies have the shapes that the contract says."""
    assert request(1, "m") == {"id": 1, "method": "m", "params": {}}
    assert answer(1, 2) == {"id": 1, "result": 2}
    assert failure(None, "c", "m") == {"id": None, "error": {"code": "c", "message": "m"}}
