"""paramiko's transport, mended where several threads share it. Imports paramiko: import it late."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

WINDOW_BYTES = 64 << 20
PACKET_BYTES = 1 << 17
REKEY_BYTES = 1 << 35  # half of what AES-GCM allows; at 512 MiB, the default, long streams stall for each
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


class Wire(paramiko.Transport):
    """A connection on which nothing follows the close of a channel.

    paramiko makes a message under the channel's lock and sends it after. The answer to the other side's close
    may slip between, and sshd hangs up on whoever speaks of a channel that is no more: a program that ends
    while it is written to would take all others of the connection with it.
    """

    def __init__(self, plug: socket.socket) -> None:
        super().__init__(plug, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES)
        self._order = threading.Lock()
        self._saying = threading.local()
        self.packetizer.REKEY_BYTES = REKEY_BYTES
        options = self.get_security_options()
        quick = [name for name in _CIPHERS if name in options.ciphers]
        options.ciphers = tuple(dict.fromkeys([*quick, *options.ciphers]))

    @contextmanager
    def on(self, channel: paramiko.Channel) -> Iterator[None]:
        """What this thread sends meanwhile is of that channel, and is dropped if it has closed."""
        self._saying.channel = channel
        try:
            yield
        finally:
            self._saying.channel = None

    def _send_user_message(self, data: paramiko.Message) -> None:
        # The close is sent here too, after the channel is marked closed: nothing that is let through is late.
        with self._order:
            channel = getattr(self._saying, "channel", None)
            if channel is None or not channel.closed:
                with suppress(EOFError):  # the line is dead, which its reader finds as well and tells all
                    super()._send_user_message(data)  # type: ignore[misc]
