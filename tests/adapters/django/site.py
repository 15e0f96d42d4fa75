"""A Django configuration for one test, with databases of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tests.adapters.django import project

project.configure()

from django.core.management import call_command  # noqa: E402
from django.test import override_settings  # noqa: E402

from durably.adapter import launch_lazily  # noqa: E402
from durably_django.process import process, provide  # noqa: E402


class Site:
    """The aliases and the setting ``DURABLY`` of one test, undone at its end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def add(self, alias: str, url: str, *, options: dict[str, Any] | None = None, **entry: Any) -> None:
        """An alias for an address."""
        project.add_alias(alias, {**project.database(url, **(options or {})), **entry})
        self._stack.callback(project.remove_alias, alias)

    def set(self, **durably: Any) -> None:
        """The setting, as the only one."""
        self._stack.enter_context(override_settings(DURABLY={"name": "site", **durably}))
        provide()
        self._stack.callback(launch_lazily, None)
        self._stack.callback(process.shut_down)

    @staticmethod
    def migrate(alias: str = "default", *target: str, **options: Any) -> None:
        """``manage.py migrate``."""
        call_command("migrate", *target, database=alias, verbosity=0, **options)
