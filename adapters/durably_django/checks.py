"""System checks of the setting ``DURABLY``: ``manage.py check`` says what is wrong before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from durably_django import conf
from durably_django.tables import LABEL, Kind, belongs


def check_setting(**_: Any) -> Sequence[CheckMessage]:
    """Every fault of the setting, and what will surprise although it is right."""
    if not conf.is_set():
        hint = "set DURABLY = {'name': 'shop'}; or, if you make Durably(...) yourself, take the application out again"
        return [Warning(f"{LABEL!r} is installed, but the setting DURABLY is missing", hint=hint, id="durably.W001")]
    found = [Error(fault.message, hint=fault.hint, id=fault.id) for fault in conf.faults(settings.DURABLY)]
    return found or _warnings(conf.read())


def _warnings(configuration: conf.Configuration) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias in configuration.adapters:
        if connections[alias].settings_dict["ATOMIC_REQUESTS"] and configuration.executes != "none":
            hint = (
                "take such views out with @transaction.non_atomic_requests, or have them start workflows with "
                "durably.start_workflow(...), which joins the request's transaction"
            )
            message = f"DATABASES[{alias!r}] has ATOMIC_REQUESTS, inside which a view cannot call a workflow directly"
            found.append(Warning(message, hint=hint, id="durably.W002"))
        connection = connections[alias]
        if connection.vendor == "mysql" and connection.get_connection_params().get("charset") != "utf8mb4":
            hint = f"set DATABASES[{alias!r}]['OPTIONS'] = {{'charset': 'utf8mb4'}}, Django's default from 5.2 on"
            message = f"the connection {alias!r} cannot carry every character, and so not every workflow's values"
            found.append(Warning(message, hint=hint, id="durably.W004"))
    named: list[tuple[Kind, str]] = [("completion", alias) for alias in configuration.apart()]
    if configuration.system_alias is not None:
        named.append(("system", configuration.system_alias))
    for kind, alias in named:
        if not belongs(kind, alias):
            message = f"a router keeps Durably's {kind} tables from {alias!r}, where DURABLY puts them"
            hint = f"have allow_migrate({alias!r}, {LABEL!r}, durably={kind!r}) return True or None"
            found.append(Warning(message, hint=hint, id="durably.W003"))
    return found
