"""The words that the server and the agents speak: frames, methods, states. Sans-IO, so both ends share it.

A frame is one byte of kind, four bytes of big-endian length, and the payload. Kind J is one JSON object;
kind B is two bytes of header length, a JSON header, and raw bytes. This is the only module of the agent
that other floors import.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, NamedTuple, Optional

from skynb_agent import __version__
from skynb_agent.zipapp_builder import build_zipapp

__all__ = [
    "FINAL_STATES",
    "JOB_STATES",
    "MAX_FRAME",
    "PROTOCOL",
    "VERSION",
    "Codes",
    "Decoder",
    "Frame",
    "FrameError",
    "Methods",
    "RemoteError",
    "answer",
    "build_zipapp",
    "encode",
    "failure",
    "request",
]

PROTOCOL = 1
VERSION = __version__
MAX_FRAME = 8 * 1024 * 1024
LOG_CHUNK = 256 * 1024
LOG_WINDOW = 4 * 1024 * 1024

JOB_STATES = (
    "INIT",
    "PENDING",
    "SETTING_UP",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "FAILED_SETUP",
    "FAILED_DRIVER",
    "CANCELLED",
)
FINAL_STATES = frozenset(JOB_STATES[4:])

_HEAD = struct.Struct(">cI")
_HEADER_LENGTH = struct.Struct(">H")


class Methods:
    """Names of the methods that the server calls on an agent."""

    HELLO = "hello"
    CONFIGURE = "configure"
    SUBMIT = "submit"
    JOBS = "jobs"
    WATCH = "watch"
    UNSUBSCRIBE = "unsubscribe"
    CANCEL = "cancel"
    NODE_GONE = "node_gone"
    LOG_FOLLOW = "log_follow"
    LOG_ACK = "log_ack"
    SERVICE_START = "service_start"
    SERVICE_STOP = "service_stop"
    SERVICE_LIST = "service_list"
    SERVICE_LOG = "service_log"
    LEASE_RENEW = "lease_renew"
    AUTOSTOP_SET = "autostop_set"
    STATUS = "status"
    NOTICES = "notices"
    END = "end"
    SHUTDOWN = "shutdown"


class Codes:
    """Values of `error.code` in an answer."""

    UNKNOWN_METHOD = "unknown-method"
    BAD_REQUEST = "bad-request"
    CONFLICT = "conflict"
    NEVER_FITS = "never-fits"
    NOT_HEAD = "not-head"
    NOT_FOUND = "not-found"
    ENDING = "ending"
    REFUSED = "refused"
    GONE = "gone"
    INTERNAL = "internal"
    DISCONNECTED = "disconnected"


class FrameError(ValueError):
    """The bytes are not a frame of this protocol; the connection cannot go on."""


class RemoteError(Exception):
    """An error answer: raised by handlers to send one, and by callers who received one."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Frame(NamedTuple):
    """One decoded frame; `data` is None for kind J."""

    body: Dict[str, Any]
    data: Optional[bytes] = None


def encode(body: dict[str, Any], data: bytes | None = None) -> bytes:
    """The bytes of one frame; ValueError if it is larger than MAX_FRAME."""
    text = json.dumps(body, separators=(",", ":")).encode()
    if data is None:
        payload, kind = text, b"J"
    else:
        if len(text) > 0xFFFF:
            raise FrameError(f"a header of {len(text)} bytes is too long")
        payload, kind = b"".join((_HEADER_LENGTH.pack(len(text)), text, data)), b"B"
    if len(payload) > MAX_FRAME:
        raise FrameError(f"a frame of {len(payload)} bytes is larger than {MAX_FRAME}")
    return _HEAD.pack(kind, len(payload)) + payload


class Decoder:
    """Turns a stream of bytes into frames, however the bytes are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames completed by this chunk; FrameError if the stream is not ours."""
        buffer = self._buffer
        buffer += chunk
        frames: list[Frame] = []
        at = 0
        while len(buffer) - at >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer, at)
            if kind not in {b"J", b"B"}:
                raise FrameError(f"unknown frame kind {kind!r}")
            if length > MAX_FRAME:
                raise FrameError(f"a frame of {length} bytes is larger than {MAX_FRAME}")
            start, end = at + _HEAD.size, at + _HEAD.size + length
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                frames.append(_parse(kind, bytes(view[start:end])))
            at = end
        del buffer[:at]
        return frames


def _parse(kind: bytes, payload: bytes) -> Frame:
    if kind == b"J":
        return Frame(_object(payload))
    if len(payload) < _HEADER_LENGTH.size:
        raise FrameError("a B frame without a header")
    (length,) = _HEADER_LENGTH.unpack_from(payload)
    start = _HEADER_LENGTH.size
    if len(payload) < start + length:
        raise FrameError("a B frame shorter than its header")
    return Frame(_object(payload[start : start + length]), payload[start + length :])


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame that is not JSON") from error
    if not isinstance(value, dict):
        raise FrameError("a frame that is not a JSON object")
    return value


def request(number: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of a request."""
    return {"id": number, "method": method, "params": params or {}}


def answer(number: int, result: Any) -> dict[str, Any]:
    """The body of a good answer."""
    return {"id": number, "result": result}


def failure(number: int | None, code: str, message: str) -> dict[str, Any]:
    """The body of an error answer; id None means that the connection itself failed."""
    return {"id": number, "error": {"code": code, "message": message}}
