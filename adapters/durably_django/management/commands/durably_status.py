"""``manage.py durably_status``: how the application is doing, by its system database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from durably import ConfigurationError, DurablyError
from durably.overview import Executor, Overview, overview
from durably_django import conf
from durably_django.addresses import connection_of


class Command(BaseCommand):
    """Shows databases, pending migrations, executors and their leases, and workflows by status; no passwords."""

    help = "Shows Durably's databases, pending migrations, executors and workflows."

    def handle(self, *_: Any, **__: Any) -> None:
        """Look and print."""
        try:
            configuration = conf.read()
            address = configuration.system_address()
            if address is None:
                raise ConfigurationError(f"the system database {configuration.system_database!r} is in memory")
            self._print(configuration, overview(configuration.name, address))
        except DurablyError as error:
            raise CommandError(str(error)) from error

    def _print(self, configuration: conf.Configuration, seen: Overview) -> None:
        alias = configuration.system_alias
        apart = configuration.apart()
        self.stdout.write(f"application      {seen.application_name}")
        self.stdout.write(f"system database  {f'{alias}: ' if alias else ''}{seen.system_database}")
        for name in configuration.adapters:
            where = "apart" if name in apart else "in the system database"
            self.stdout.write(f"adapter          {name}: {connection_of(name).vendor}, {where}")
        if seen.pending:
            self.stdout.write(f"migrations       pending: {', '.join(seen.pending)}; run `manage.py migrate`")
            return
        self.stdout.write("migrations       none pending")
        for executor in seen.executors:
            self.stdout.write(f"executor         {_described(executor)}")
        if not seen.executors:
            self.stdout.write("executor         none; start one with `manage.py durably_worker`")
        for status, count in seen.workflows.items():
            self.stdout.write(f"workflows        {status.value}: {count}")
        if not seen.workflows:
            self.stdout.write("workflows        none")


def _described(executor: Executor) -> str:
    label = f" ({executor.label})" if executor.label else ""
    version = f", version {executor.application_version}" if executor.application_version else ""
    seconds = executor.lease_seconds
    lease = f"lease good for {seconds:.0f} s" if seconds >= 0 else f"lease ran out {-seconds:.0f} s ago"
    return f"{executor.executor_id}{label} on {executor.hostname}{version}: {lease}, holds {executor.holds}"
