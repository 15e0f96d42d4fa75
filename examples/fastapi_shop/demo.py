"""The demo: orders over HTTP, one of them twice, while the server is killed; and then the books are checked."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import httpx

from examples.fastapi_shop.models import OPENING_STOCK, UNIT_CENTS
from examples.shop import payments

ORDERS, QUANTITY = 12, 2
#: Within this time everything has long been done.
PATIENCE_SECONDS = 60.0


class Server:
    """The application in a process of its own, on a socket that outlives it: requests wait while there is no server."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        return subprocess.Popen([sys.executable, "-m", __package__ or "", "--serve", "--fd", str(fd)], pass_fds=[fd])

    def kill(self) -> None:
        """End it at once, as a crash would, and start another one."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def stop(self) -> int:
        """End it in order; how it ended."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()


async def post(client: httpx.AsyncClient, key: str, quantity: int) -> str:
    """Place an order; its id. Without an answer the request is sent again, which the key makes safe."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            answer = await client.post("/orders", json={"quantity": quantity}, headers={"Idempotency-Key": key})
            answer.raise_for_status()
            return str(answer.json()["order_id"])
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


async def outcome(client: httpx.AsyncClient, order_id: str) -> dict[str, str | None]:
    """Wait until an order is done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            placed: dict[str, str | None] = (await client.get(f"/orders/{order_id}")).raise_for_status().json()
            if placed["status"] in ("SUCCESS", "ERROR"):
                return placed
        except httpx.TransportError:
            pass  # the server is being started again
        if time.monotonic() > deadline:
            raise TimeoutError(f"{order_id} is not done after {PATIENCE_SECONDS:g} s")
        await asyncio.sleep(0.1)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """A server, and a client to it."""
    os.environ[payments.LEDGER_VARIABLE] = str(folder / "payments.db")
    os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/shop.db")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener)
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
                yield server, client
        finally:
            ended = server.stop()
        if ended not in (0, -signal.SIGTERM):  # uvicorn passes the signal on when it has shut down
            raise RuntimeError(f"the server ended with {ended}")


async def main(folder: Path) -> bool:
    """Run it; whether every number is right."""
    async with running(folder) as (server, client):
        before = (await client.get("/items/mug")).raise_for_status().json()
        keys = [uuid4().hex for _ in range(ORDERS)]
        ids = await asyncio.gather(*(post(client, key, QUANTITY) for key in keys))
        again = await post(client, keys[0], QUANTITY)
        print(
            f"{ORDERS} orders of {QUANTITY} are placed; the first one twice: {'same' if again == ids[0] else 'new'} id"
        )
        server.kill()
        print("the server was killed, and another one started")
        done = await asyncio.gather(*(outcome(client, order_id) for order_id in ids))
        confirmed = [one["receipt"] for one in done if one["status"] == "SUCCESS"]
        print(f"{len(confirmed)} orders are confirmed, with {len(set(confirmed))} receipts")
        refused = await outcome(client, await post(client, uuid4().hex, OPENING_STOCK + 1))
        print(f"an order of {OPENING_STOCK + 1} ends with {refused['status']}: {refused['error']}")
        after = (await client.get("/items/mug")).raise_for_status().json()
    with closing(sqlite3.connect(folder / "payments.db")) as ledger:
        [(charges, cents)] = ledger.execute("SELECT count(*), sum(cents) FROM charges").fetchall()
    taken, earned = before["stock"] - after["stock"], after["revenue_cents"] - before["revenue_cents"]
    print(f"{taken} left the shelf, {earned} cents are in the books, {cents} at the provider, in {charges} charges")
    owed = ORDERS * QUANTITY * UNIT_CENTS
    right = again == ids[0] and len(set(confirmed)) == charges == ORDERS and refused["status"] == "ERROR"
    right = right and taken == ORDERS * QUANTITY and earned == cents == owed
    print("every number is right" if right else "NUMBERS ARE OFF")
    return right
