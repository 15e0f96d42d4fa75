"""Durably as an application of a Django project. Nothing is opened or launched by it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from durably_django import checks, conf, process, tables


class DurablyDjangoConfig(AppConfig):
    """``INSTALLED_APPS += ["durably_django"]``."""

    name = "durably_django"
    verbose_name = "Durably"

    def ready(self) -> None:
        """Import the ``workflows`` module of every application, so that each process knows all functions by name."""
        register(checks.check_setting)
        post_migrate.connect(_after_migrate, sender=self)
        if conf.is_set():
            process.provide()
        autodiscover_modules("workflows")


def _after_migrate(using: str, **kwargs: Any) -> None:
    """After ``migrate`` (which has a plan) and ``flush`` (which has none, and ends every TransactionTestCase)."""
    if not process.process.is_executing():
        # It has seen the tables as they were; and a test's database may be about to go.
        process.process.shut_down()
    if not (tables.belongs("system", using) or tables.belongs("completion", using)):
        return
    if "plan" not in kwargs:
        tables.empty(using)
    elif tables.is_migrated(using):
        tables.complete(using)
