"""The FastAPI example: its demo's numbers are right on both databases, although the server is killed on the way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from examples.shop import payments

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_ends_well(system_url: str) -> None:
    demo = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.fastapi_shop"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": system_url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.splitlines() == [
        "12 orders of 2 are placed; the first one twice: same id",
        "the server was killed, and another one started",
        "12 orders are confirmed, with 12 receipts",
        "an order of 101 ends with ERROR: 101 × mug were ordered, and there are 76",
        "24 left the shelf, 23760 cents are in the books, 23760 at the provider, in 12 charges",
        "every number is right",
    ]
    assert "Traceback" not in demo.stderr


async def answers(url: str) -> None:
    # Here, and not above, so that what it declares is forgotten after the test.
    from examples.fastapi_shop.api import create_app

    api = create_app(url)
    transport = httpx.ASGITransport(api)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        assert (await client.get("/orders/order-nowhere")).status_code == 404
        assert (await client.get("/items/nothing")).status_code == 404
        assert (await client.post("/orders", json={"quantity": 1})).status_code == 422  # without a key
        key = {"Idempotency-Key": "k"}
        assert (await client.post("/orders", json={"quantity": 0}, headers=key)).status_code == 422
        placed = await client.post("/orders", json={"quantity": 1}, headers=key)
        assert placed.status_code == 202
        assert placed.headers["Location"] == "/orders/order-k"
        assert (await client.get("/orders/order-k")).json()["status"] in ("PENDING", "SUCCESS")


def test_what_the_interface_answers(sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(payments.LEDGER_VARIABLE, str(tmp_path / "payments.db"))
    asyncio.run(answers(f"sqlite:///{sqlite_path}"))
