"""A fake payment provider: its first answer is lost on the way, although the card is charged."""

from __future__ import annotations

import threading

#: What the provider has charged: order and amount, by idempotency key.
charges: dict[str, tuple[str, int]] = {}
requests: list[str] = []
_mutex = threading.Lock()


def charge(order_id: str, cents: int, *, idempotency_key: str) -> str:
    """Charge once for each key, however often it is asked; the receipt."""
    with _mutex:
        requests.append(order_id)
        charges.setdefault(idempotency_key, (order_id, cents))
        if len(requests) == 1:
            raise TimeoutError("the provider's answer was lost")
        return f"receipt-{idempotency_key[:8]}"
