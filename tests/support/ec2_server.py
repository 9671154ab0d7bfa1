"""The process behind `tests.support.ec2`: moto's AWS on loopback, with EC2's ways of failing.

    python -m tests.support.ec2_server [hosts]

Prints its port. Ends with its standard input, and every host with it. Faults are set by POST to `/_control`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import urllib.parse
from io import BytesIO
from typing import Any

from tests.support import ec2_behaviour as ec2

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # isort: skip
from werkzeug.serving import WSGIRequestHandler, make_server  # isort: skip


class Lost(ConnectionError):  # noqa: N818 - what became of the answer
    """The connection ends without an answer."""


class Application:
    """moto, with faults before and after each call, and a control path beside it."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.calls: dict[str, int] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        if environ["PATH_INFO"] == "/_control":
            return self._control(json.loads(body or b"{}"), start_response)
        ec2.advance()
        action = _action(environ, body)
        with ec2.lock:
            self.calls[action] = self.calls.get(action, 0) + 1
            fault, lost = _take_fault(action), _take_lost(action)
        if fault and not fault.get("after"):
            return _failure(fault, start_response)
        answer = self._answer(environ, fault, lost)
        if fault:
            return _failure(fault, start_response)
        status, headers, data = answer
        start_response(status, headers)
        return [data]

    def _answer(self, environ: dict[str, Any], fault: Any, lost: bool) -> tuple[str, list[Any], bytes]:
        head: list[Any] = []
        data = b"".join(self.moto(environ, lambda status, headers, *_: head.extend((status, headers))))
        if lost:
            raise Lost
        return head[0], head[1], data

    def _control(self, asked: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            answer = json.dumps(self._obey(asked)).encode()
        except KeyError as error:
            start_response("400 unknown", [("Content-Type", "text/plain")])
            return [f"unknown: {error}".encode()]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [answer]

    def _obey(self, asked: dict[str, Any]) -> Any:
        """Set faults, all or none of them; or do one deed to an instance."""
        by_id = {instance.id: instance for instance in ec2.all_instances()}
        with ec2.lock:
            for verb, deed in (("interrupt", ec2.interrupt), ("shut_down", ec2.shut_down)):
                if verb in asked:
                    return deed(by_id[asked[verb]])
            if "notice" in asked:
                told = asked["notice"]
                return ec2.give_notice(by_id[told["instance"]], told["at"])
            if "calls" in asked:
                return self.calls
            if "user_data" in asked:
                return ec2.user_data(by_id[asked["user_data"]])
            if unknown := set(asked) - set(ec2.FAULTS):
                raise KeyError(*sorted(unknown))  # a slip of the pen must not inject nothing
            ec2.FAULTS.update(asked)
            return ec2.FAULTS


class Handler(WSGIRequestHandler):
    """Quiet, and able to lose an answer."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Say nothing."""

    def connection_dropped(self, *_: Any) -> None:
        """Hang up; the next request of this client is on a new connection."""
        self.close_connection = True


def _action(environ: dict[str, Any], body: bytes) -> str:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return str(target).rpartition(".")[2]
    return urllib.parse.parse_qs(body.decode(errors="replace")).get("Action", [""])[0]


def _take_fault(action: str) -> dict[str, Any] | None:
    fault = ec2.FAULTS["fail"].get(action)
    if not fault or fault.get("times", 1) <= 0:
        return None
    fault["times"] = fault.get("times", 1) - 1
    return dict(fault)


def _take_lost(action: str) -> bool:
    left = int(ec2.FAULTS["lose"].get(action, 0))
    if left:
        ec2.FAULTS["lose"][action] = left - 1
    return bool(left)


def _failure(fault: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response(f"{fault.get('status', 400)} refused", [("Content-Type", "text/xml")])
    text = fault.get("message", "as the test wished")
    return [
        f"<Response><Errors><Error><Code>{fault['code']}</Code><Message>{text}</Message></Error></Errors>"
        "<RequestID>r-1</RequestID></Response>".encode()
    ]


def main() -> None:
    """Serve until standard input ends."""
    ec2.install()
    if "hosts" in sys.argv[1:]:
        ec2.lab = ec2.Lab()
    server = make_server("127.0.0.1", 0, Application(), threaded=True, request_handler=Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.buffer.read()
    if ec2.lab is not None:
        ec2.lab.sweep()
    os._exit(0)


if __name__ == "__main__":
    main()
