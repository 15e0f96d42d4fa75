"""The engine of this process: made when the first verb needs it, in every process anew, and ended with the process.

Nothing is opened by importing, by ``AppConfig.ready``, or before a fork: each worker of a web server has an engine of
its own, as do both processes of ``runserver``'s reloader.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from django.core import mail

from durably import NotLaunchedError
from durably.adapter import launch_lazily
from durably_django import conf
from durably_django.addresses import connection_of
from durably_django.conf import Configuration, Executes
from durably_django.engine import DjangoEngine

#: Programs that run management commands.
_MANAGE = ("manage.py", "django-admin", "django-admin.py")


class Process:
    """This process's engine. Implements ``durably.context.EngineProvider``."""

    def __init__(self) -> None:
        self._mutex = threading.RLock()
        self._engine: DjangoEngine | None = None
        self._is_launched = False
        self._executing: DjangoEngine | None = None
        self._ends_with_process = False

    # -- for the core, which asks where none is launched ---------------------------------------------------------

    def constructed(self) -> DjangoEngine:
        """The engine by the settings as they are now, launched or not."""
        with self._mutex:
            configuration = conf.read()
            engine = self._engine
            if engine is None or not (self._is_launched or _is_current(engine, configuration)):
                engine = self._engine = DjangoEngine(configuration, executes_here(configuration.executes))
            return engine

    def launched(self) -> DjangoEngine:
        """The engine, launched. NotLaunchedError inside a TestCase, ConfigurationError, SchemaBehindError."""
        with self._mutex:
            engine = self.constructed()
            if not self._is_launched:
                refuse_in_testcase(engine.configuration)
                engine.launch()
                self._is_launched = True
                self._end_with_process()
            return engine

    # -- for those who end it, or execute ------------------------------------------------------------------------

    def shut_down(self) -> None:
        """End what was launched lazily, at once: what runs is handed back. The next verb launches anew."""
        with self._mutex:
            engine, self._engine, self._is_launched = self._engine, None, False
            if engine is not None:
                engine.shutdown(timeout_seconds=0)

    @contextmanager
    def executing(self, executes: Executes) -> Iterator[DjangoEngine]:
        """An engine that executes, in place of the lazy one; launched and shut down by the caller."""
        with self._mutex:
            self.shut_down()
            engine = DjangoEngine(conf.read(), executes)
            before, self._executing = self._executing, engine
        try:
            yield engine
        finally:
            with self._mutex:
                self._executing = before

    def is_executing(self) -> bool:
        """Whether a command, a lifespan or a test has this process execute."""
        return self._executing is not None

    def forked(self) -> None:
        """In a forked child: the parent's engine is the parent's."""
        self.__init__()  # type: ignore[misc]

    def _end_with_process(self) -> None:
        if not self._ends_with_process:
            self._ends_with_process = True
            atexit.register(self.shut_down)


process = Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process.forked)


def provide() -> None:
    """Have Durably ask for this process's engine from now on."""
    launch_lazily(process)


@contextmanager
def executing(executes: Executes = "all") -> Iterator[DjangoEngine]:
    """This process executes workflows for the block's time; for tests, and for management commands of your own.

        with executing():
            handle = durably.start_workflow(checkout, order.id)
            handle.get_result()

    ``executes``: "all" takes whatever the application has; "own" only what is started here. Leaving the block waits for
    what runs. Handles from before the block do not work in it; ask by workflow id. In tests it needs data that is
    committed: ``TransactionTestCase``, or pytest's ``transactional_db``.
    """
    with process.executing(executes) as engine:
        refuse_in_testcase(engine.configuration)
        with engine:
            yield engine


@asynccontextmanager
async def executing_on_loop(executes: Executes | None = None) -> AsyncIterator[DjangoEngine]:
    """The same on an event loop, where background coroutines then run. None: as configured, but "all" for "none"."""
    if executes is None:
        configured = conf.read().executes
        executes = "all" if configured == "none" else configured
    with process.executing(executes) as engine:
        async with engine:
            yield engine


def executes_here(configured: Executes) -> Executes:
    """What a process that says nothing else executes: what is configured if it serves, else nothing.

    A test, ``migrate``, ``check`` or ``shell`` is not to run what the application has left.
    """
    return "none" if in_tests() or _is_command() else configured


def in_tests() -> bool:
    """Whether Django's test environment is set up, by its own runner or by pytest."""
    return hasattr(mail, "outbox")


def _is_command() -> bool:
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program == "__main__.py":  # python -m django
        program = "django-admin" if os.path.basename(os.path.dirname(sys.argv[0])) == "django" else program
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    return program in _MANAGE and not command.startswith("runserver")


def refuse_in_testcase(configuration: Configuration) -> None:
    """NotLaunchedError in the transaction of a TestCase: Durably's own connections do not see what is in it."""
    for alias in {*configuration.adapters, configuration.system_alias} - {None}:
        blocks: Any = connection_of(str(alias)).atomic_blocks
        if blocks and blocks[0]._from_testcase:
            raise NotLaunchedError(
                "workflows cannot run in the transaction that TestCase rolls back after each test, since others do not "
                "see what is in it; use TransactionTestCase (in pytest: the fixture transactional_db, or "
                "@pytest.mark.django_db(transaction=True))"
            )


def _is_current(engine: DjangoEngine, configuration: Configuration) -> bool:
    """Whether an engine that is not launched yet was made from these settings."""
    return engine.configuration is configuration and engine.address == configuration.system_address()
