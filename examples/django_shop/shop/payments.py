"""A payment provider that loses every third answer, and charges once for each key all the same."""

from __future__ import annotations

CHARGES: dict[str, int] = {}
_asked = 0


class AnswerLost(Exception):
    """The provider was asked, and perhaps has charged."""


def charge(order_id: str, cents: int, key: str) -> str:
    """Charge, once for each key; the receipt."""
    global _asked
    _asked += 1
    CHARGES.setdefault(key, cents)
    if _asked % 3 == 0:
        raise AnswerLost(order_id)
    return f"receipt-{order_id}"
