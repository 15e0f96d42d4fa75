"""A proxy between a PostgreSQL client and its server that counts what goes over the wire, and can cut it.

An independent witness: it knows neither Durably nor psycopg, only the protocol's framing. A client waits for one round
trip at each Sync and at each simple Query.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Traffic:
    """How much went over the wire."""

    round_trips: int = 0
    executions: int = 0

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.round_trips - other.round_trips, self.executions - other.executions)


class Wire:
    """Listens on a loopback port of its own, and passes everything on to the server of ``url``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._server = parts.hostname, parts.port or 5432
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user = f"{parts.username}:{parts.password}@" if parts.password else f"{parts.username}@"
        netloc = f"{user if parts.username else ''}127.0.0.1:{port}"
        self.url = parts._replace(netloc=netloc, query="sslmode=disable").geturl()
        self._mutex = threading.Lock()
        self._traffic = Traffic()
        self._open: list[socket.socket] = []
        #: Given the bytes of each answer of the server, how many of them to pass on. Fewer, and the wire is cut.
        self.passes: Callable[[bytes], int] = len
        #: The text of everything that is prepared or sent as a simple query.
        self.texts: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def traffic(self) -> Traffic:
        with self._mutex:
            return self._traffic

    def close(self) -> None:
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [client, server]
            for work in (self._sent, self._answered):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _answered(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                count = self.passes(data)
                client.sendall(data[:count])
                if count < len(data):
                    break
        self._end(client, server)

    def _sent(self, client: socket.socket, server: socket.socket) -> None:
        started, buffer = False, b""
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                buffer += data
                while (message := self._message(buffer, started)) is not None:
                    buffer = buffer[len(message) :]
                    # The first messages have no type; the one with the protocol's version is the last of them.
                    if started:
                        self._count(message)
                    started = started or message[4:8] == b"\x00\x03\x00\x00"
                server.sendall(data)
        self._end(client, server)

    @staticmethod
    def _message(buffer: bytes, started: bool) -> bytes | None:
        kind = 1 if started else 0
        if len(buffer) < kind + 4:
            return None
        length = kind + int.from_bytes(buffer[kind : kind + 4], "big")
        return buffer[:length] if len(buffer) >= length else None

    def _count(self, message: bytes) -> None:
        kind = message[:1]
        if kind in b"QP":
            text = message[5:] if kind == b"Q" else message[5:].partition(b"\0")[2]
            self.texts.append(re.sub(r"\s+", " ", text.partition(b"\0")[0].decode()))
        with self._mutex:
            trips, executions = self._traffic.round_trips, self._traffic.executions
            self._traffic = Traffic(trips + (kind in b"QS"), executions + (kind in b"QE"))

    @staticmethod
    def _end(*sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
