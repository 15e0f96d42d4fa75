"""``manage.py durably_worker``: execute the application's workflows until the process is told to end."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import autoreload

from durably import DurablyError
from durably_django import conf
from durably_django.process import process


class Command(BaseCommand):
    """Takes over from dead workers, runs what waits, and ends gracefully on SIGTERM and SIGINT."""

    help = "Executes the application's workflows: what waits, what dead workers left, and what is started meanwhile."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """``--reload`` and ``--drain-seconds``."""
        parser.add_argument("--reload", action="store_true", help="Start again when the code changes; for development.")
        parser.add_argument(
            "--drain-seconds",
            type=float,
            default=30.0,
            help="How long to wait at the end for workflows that run; what is left is handed back. Default: 30.",
        )

    def handle(self, *_: Any, reload: bool, drain_seconds: float, **__: Any) -> None:
        """Run."""
        if reload:
            # The work is in a thread here, and ends with the process: what runs is handed back at once.
            autoreload.run_with_reloader(self._work, threading.Event(), 0.0)
            return
        told = threading.Event()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def tell(_number: int, _frame: FrameType | None) -> None:
            for one, handler in before.items():
                signal.signal(one, handler)  # a second signal does not wait
            told.set()

        for number in before:
            signal.signal(number, tell)
        try:
            self._work(told, drain_seconds)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _work(self, told: threading.Event, drain_seconds: float) -> None:
        try:
            with process.executing("all") as engine:
                engine.launch()
                try:
                    name = conf.read().name
                    self.stdout.write(f"Durably executes the workflows of {name!r}. Quit the worker with CONTROL-C.")
                    self.stdout.flush()
                    told.wait()
                    self.stdout.write("Ending: waiting for what runs.")
                finally:
                    engine.shutdown(timeout_seconds=drain_seconds)
        except DurablyError as error:
            raise CommandError(str(error)) from error
