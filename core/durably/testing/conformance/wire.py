"""A wire between a client and its database server that passes everything on, and can lose a COMMIT or its answer.

It knows nothing of either protocol, but that COMMIT is sent as plain text, and that PostgreSQL's clients first ask for
encryption, which it declines.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

Loss = Literal["answer", "commit"]

_COMMIT = re.compile(rb"\bCOMMIT\b", re.IGNORECASE)
# Length 8, and the codes for TLS and for GSSAPI.
_ENCRYPT = (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"\x00\x00\x00\x08\x04\xd2\x16\x30")
_PORTS = {"postgresql": 5432, "mysql": 3306}


class Wire:
    """Listens on a loopback port of its own; closed at the end of the block."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = parts.hostname or "127.0.0.1", parts.port or _PORTS[parts.scheme]
        self._listener = socket.create_server(("127.0.0.1", 0))
        user, at, _ = parts.netloc.rpartition("@")
        #: Where clients connect to.
        self.url = parts._replace(netloc=f"{user}{at}127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        #: What to lose of the next COMMIT: its answer, once the server has given it; or the COMMIT itself.
        self.loses: Loss | None = None
        #: What has been lost.
        self.lost: list[Loss] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, name="conformance-wire", daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        _end(*self._open)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            losing = threading.Event()
            for work in (self._sent, self._answered):
                threading.Thread(target=work, args=(client, server, losing), daemon=True).start()

    def _sent(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data in _ENCRYPT:
                    client.sendall(b"N")
                    continue
                loss = self.loses
                if loss is not None and _COMMIT.search(data):
                    self.loses = None
                    self.lost.append(loss)
                    if loss == "commit":
                        break
                    losing.set()
                server.sendall(data)
        if not losing.is_set():
            _end(client, server)

    def _answered(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            # That there is an answer says that the commit has taken place.
            while (data := server.recv(65536)) and not losing.is_set():
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
