"""A fake payment provider with a ledger of its own: slow, sometimes unreachable, and sometimes mute after the fact.

It keeps the promise that real ones make: however often a request comes with one idempotency key, the card is charged
once, and the receipt is the first one. A request with another key is another charge.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

#: Where the provider keeps its ledger: a file that has nothing to do with the shop's database.
LEDGER_VARIABLE = "SHOP_PAYMENTS"
LATENCY_SECONDS = (0.1, 0.4)
UNREACHABLE, MUTE = 0.06, 0.06  # how probable


class PaymentUnavailable(Exception):
    """No answer. The card was charged or not: only asking again with the same key can tell."""


def charge(order_id: str, cents: int, *, idempotency_key: str) -> str:
    """Charge the customer's card; the receipt."""
    time.sleep(random.uniform(*LATENCY_SECONDS))
    fate = random.random()
    if fate < UNREACHABLE:
        raise PaymentUnavailable("503: try again later")
    with ledger(Path(os.environ[LEDGER_VARIABLE])) as connection:
        [(receipt,)] = connection.execute(
            "INSERT INTO charges (idempotency_key, order_id, cents, receipt) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (idempotency_key) DO UPDATE SET requests = requests + 1 RETURNING receipt",
            (idempotency_key, order_id, cents, f"receipt-{uuid4().hex[:10]}"),
        ).fetchall()
    if fate > 1 - MUTE:
        raise PaymentUnavailable("timed out")  # although the card is charged
    return str(receipt)


@contextmanager
def ledger(path: Path) -> Iterator[sqlite3.Connection]:
    """The provider's ledger, open for one transaction."""
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS charges (idempotency_key TEXT PRIMARY KEY, order_id TEXT NOT NULL,"
            " cents INTEGER NOT NULL, receipt TEXT NOT NULL, requests INTEGER NOT NULL DEFAULT 1)"
        )
        yield connection
