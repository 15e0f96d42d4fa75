"""What type checkers see of ``run_step``. Checked by `make check`, never run."""

from __future__ import annotations

import functools

from typing_extensions import assert_type

import durably
from durably import StepOptions, aio, step, workflow


def fetch(url: str, *, timeout: float = 1.0) -> bytes:
    return url.encode() * int(timeout)


async def fetch_later(url: str, *, timeout: float = 1.0) -> bytes:
    return url.encode() * int(timeout)


@step
def declared(url: str) -> int:
    return len(url)


class Client:
    def get(self, url: str) -> str:
        return url

    async def get_later(self, url: str) -> str:
        return url


OPTIONS = StepOptions(max_attempts=3)


@workflow
def plain(client: Client) -> None:
    assert_type(durably.run_step(fetch, "x", timeout=2.0), bytes)
    assert_type(durably.run_step(OPTIONS, fetch, "x"), bytes)
    assert_type(durably.run_step(declared, "x"), int)
    assert_type(durably.run_step(client.get, "x"), str)
    assert_type(durably.run_step(lambda: 5), int)
    assert_type(durably.run_step(functools.partial(fetch, timeout=2.0), "x"), bytes)
    assert_type(durably.run_step(len, "x"), int)


@workflow
async def later(client: Client) -> None:
    assert_type(await aio.run_step(fetch_later, "x", timeout=2.0), bytes)
    assert_type(await aio.run_step(OPTIONS, fetch_later, "x"), bytes)
    assert_type(await aio.run_step(fetch, "x"), bytes)
    assert_type(await aio.run_step(OPTIONS, fetch, "x"), bytes)
    assert_type(await aio.run_step(declared, "x"), int)
    assert_type(await aio.run_step(client.get_later, "x"), str)
    assert_type(await aio.run_step(lambda: 5), int)


def plain_wrong(client: Client) -> None:
    durably.run_step(fetch)  # type: ignore[call-overload]
    durably.run_step(fetch, 5)  # type: ignore[call-overload]
    durably.run_step(OPTIONS, fetch, "x", timeout="two")  # type: ignore[arg-type]
    durably.run_step(OPTIONS)  # type: ignore[call-overload]
    durably.run_step("fetch")  # type: ignore[call-overload]
    durably.run_step(client.get)  # type: ignore[call-overload]


async def later_wrong() -> None:
    await aio.run_step(fetch_later)  # type: ignore[call-overload]
    await aio.run_step(OPTIONS, fetch_later, 5)  # type: ignore[call-overload]
    number: int = await aio.run_step(fetch_later, "x")  # type: ignore[call-overload]
    print(number)
