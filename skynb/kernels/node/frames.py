"""Frames between a keeper and a relay: a JSON head, and parts that are bytes."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Frame = tuple[dict[str, Any], list[bytes]]

_SIZES = struct.Struct("!II")
MOST = 1 << 30  # bytes of one frame
CHANNELS = ("shell", "iopub", "stdin", "hb", "control")
PORTS = {f"{channel}_port": number for number, channel in enumerate(CHANNELS, 1)}  # at both ends


class FrameError(Exception):
    """What came is no frame."""


def encode(head: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """One frame, as bytes."""
    text = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
    return b"".join((_SIZES.pack(len(text), sum(map(len, parts))), text, *parts))


class Decoder:
    """Frames out of a stream that is cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now; FrameError on what is none."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _SIZES.size:
                head_size, parts_size = _SIZES.unpack_from(self._buffer, start)
                if head_size + parts_size > MOST:
                    raise FrameError(f"a frame of {head_size + parts_size} bytes")
                begin = start + _SIZES.size
                end = begin + head_size + parts_size
                if len(self._buffer) < end:
                    return
                start = end
                yield _decode(bytes(self._buffer[begin:end]), head_size)
        finally:
            del self._buffer[:start]


def _decode(frame: bytes, head_size: int) -> Frame:
    try:
        head = json.loads(frame[:head_size].decode())
        parts, at = [], head_size
        for size in head.pop("sizes"):
            parts.append(frame[at : at + size])
            at += size
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FrameError("a head that is none") from error
    return head, parts
