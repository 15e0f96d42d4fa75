"""Durably in the lifespan of an ASGI server: launched before the first request, shut down after the last."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from durably_django.conf import Executes
from durably_django.process import executing_on_loop

log = logging.getLogger("durably.django")

#: ASGI 3: called with scope, receive and send. Frameworks type these three in ways of their own.
Application = Callable[[Any, Any, Any], Awaitable[None]]


def asgi_lifespan(app: Application, *, executes: Executes | None = None) -> Application:
    """An ASGI application that executes workflows as long as its server runs; background coroutines on its loop.

        application = asgi_lifespan(get_asgi_application())

    ``executes``: by default ``DURABLY["executes"]``, and "all" where that is "none". The server must support the
    lifespan protocol (uvicorn and hypercorn do, daphne does not). Django itself has no lifespan; one of another
    application around it is not passed on.
    """

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send, executes)
        else:
            await app(scope, receive, send)

    return with_lifespan


async def _lifespan(receive: Any, send: Any, executes: Executes | None) -> None:
    await receive()  # lifespan.startup
    begun = False
    try:
        async with executing_on_loop(executes):
            begun = True
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
    except Exception as error:
        log.exception("Durably could not be %s", "shut down" if begun else "launched")
        await send({"type": f"lifespan.{'shutdown' if begun else 'startup'}.failed", "message": str(error)})
        return
    await send({"type": "lifespan.shutdown.complete"})
