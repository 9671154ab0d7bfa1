"""EC2's metadata service, version 2 only, as far as notices go: `python metadata.py HOST PORT FOLDER`.

A notice is a file: FOLDER/preemption holds what `spot/instance-action` answers, FOLDER/rebalance the other.
Prints its port. Standard library only, as it runs on test hosts too.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

TOKEN = "token-1"
FILES = {
    "/latest/meta-data/spot/instance-action": "preemption",
    "/latest/meta-data/events/recommendations/rebalance": "rebalance",
}


class Handler(BaseHTTPRequestHandler):
    """Answers for the folder."""

    folder = Path()

    def do_PUT(self) -> None:
        """A token, for who says how long it shall live."""
        wanted = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200 if wanted else 400, TOKEN)

    def do_GET(self) -> None:
        """A notice, for who has the token."""
        path = self.folder / FILES.get(self.path, "-")
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN or (self.folder / "forget").exists():
            (self.folder / "forget").unlink(missing_ok=True)
            self._answer(401, "")
        elif path.exists():
            self._answer(200, path.read_text())
        else:
            self._answer(404, "")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


class Service(ThreadingHTTPServer):
    """Asks no name server for its own name: a test host has none."""

    def server_bind(self) -> None:
        """Listen, no more."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[3])
    Handler.folder.mkdir(parents=True, exist_ok=True)
    server = Service((sys.argv[1], int(sys.argv[2])), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
