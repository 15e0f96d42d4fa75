"""`python -m examples.fastapi_shop`: the demo. With --serve: the shop, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import tempfile
from pathlib import Path

import uvicorn

from examples.fastapi_shop import demo
from examples.fastapi_shop.api import create_app
from examples.shop import payments


def serve(port: int, fd: int | None) -> None:
    """Serve on a loopback port, or on a listening socket that this process was given."""
    os.environ.setdefault(payments.LEDGER_VARIABLE, "payments.db")
    given = [socket.socket(fileno=fd)] if fd is not None else None
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="warning" if given else "info")
    uvicorn.Server(config).run(sockets=given)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m examples.fastapi_shop", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="serve instead, on fastapi_shop.db or DATABASE_URL")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.port, arguments.fd)
        return 0
    with tempfile.TemporaryDirectory(prefix="durably-fastapi-") as folder:
        return 0 if asyncio.run(demo.main(Path(folder))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
