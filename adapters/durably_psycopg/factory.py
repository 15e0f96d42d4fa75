"""What ``app_db_client: psycopg`` stands for."""

from __future__ import annotations

from collections.abc import Sequence

from durably_psycopg.asynchronous import AsyncPsycopg
from durably_psycopg.synchronous import Psycopg


def from_url(url: str) -> Sequence[Psycopg | AsyncPsycopg]:
    """Both halves for an address, each with connections of its own. ConfigurationError; nothing is connected here."""
    return [Psycopg(url), AsyncPsycopg(url)]
