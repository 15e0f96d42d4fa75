"""A limit of time on what a coroutine does, in its own task, which keeps what belongs to that task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class TimeIsUp(Exception):
    """The block was cancelled because its time was up."""


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Cancel what the block awaits after ``seconds``, and raise TimeIsUp. A cancellation by others goes first.

    What has ended by then, or ends all the same, counts. ``asyncio.timeout`` is not there before Python 3.11, and
    ``asyncio.wait_for`` moves the block into another task.
    """
    if seconds is None:
        yield
        return
    import asyncio

    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine's body runs in a task
    fired = False

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, fire)
    try:
        yield
    except asyncio.CancelledError as error:
        if not fired or _is_cancelled_by_others(task):
            raise
        raise TimeIsUp from error
    finally:
        timer.cancel()


def _is_cancelled_by_others(task: object) -> bool:
    """Take one's own cancellation back; whether there is another one. Before Python 3.11 they are not counted."""
    uncancel = getattr(task, "uncancel", None)
    return uncancel is not None and uncancel() > 0
