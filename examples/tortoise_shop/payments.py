"""A fake payment provider: its first answer is lost on the way, although the card is charged."""

from __future__ import annotations

import asyncio

#: What the provider has charged: order and amount, by idempotency key.
charges: dict[str, tuple[str, int]] = {}
requests: list[str] = []


async def charge(order_id: str, cents: int, *, idempotency_key: str) -> str:
    """Charge once for each key, however often it is asked; the receipt."""
    requests.append(order_id)
    charges.setdefault(idempotency_key, (order_id, cents))
    if len(requests) == 1:
        raise TimeoutError("the provider's answer was lost")
    await asyncio.sleep(0.02)
    return f"receipt-{order_id}"
