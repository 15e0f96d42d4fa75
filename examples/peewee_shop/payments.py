"""A fake payment provider: however often a request comes with one idempotency key, the card is charged once.

Every third answer is lost on its way, although the card is charged.
"""

from __future__ import annotations

import itertools
import threading


class PaymentUnavailable(Exception):
    """No answer. The card was charged or not: only asking again with the same key can tell."""


#: What was charged (cents), by the key of the request.
charged: dict[str, int] = {}
_requests = itertools.count(1)
_lock = threading.Lock()


def charge(order_id: str, cents: int, *, idempotency_key: str) -> str:
    """Charge the customer's card; the receipt."""
    with _lock:
        charged.setdefault(idempotency_key, cents)
        if next(_requests) % 3 == 0:
            raise PaymentUnavailable("timed out")
    return f"receipt-{order_id}"
