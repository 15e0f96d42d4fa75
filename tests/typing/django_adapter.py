"""What type checkers see of Django's adapter and its integration. Checked by `make check`, never run."""

from __future__ import annotations

from contextlib import AbstractContextManager

from django.core.asgi import get_asgi_application
from django.db.backends.base.base import BaseDatabaseWrapper
from typing_extensions import assert_type

from durably import Durably, transaction, workflow
from durably.adapter import Adapter, BeginPlan, HasOneHalf, Joins, Locates, Releases
from durably.context import EngineProvider
from durably_django import DjangoAdapter, asgi_lifespan, executing, from_url
from durably_django.asgi import Application
from durably_django.engine import DjangoEngine
from durably_django.process import process

adapter = DjangoAdapter("reports")
is_an_adapter: Adapter[BaseDatabaseWrapper] = adapter
joins: Joins[BaseDatabaseWrapper] = adapter
releases: Releases = adapter
locates: Locates = adapter
has_one_half: HasOneHalf = adapter
provides: EngineProvider = process

assert_type(adapter.ambient(), BaseDatabaseWrapper | None)
assert_type(adapter.begin(BeginPlan()), AbstractContextManager[BaseDatabaseWrapper])

app = Durably("shop", adapters={"default": DjangoAdapter(), "reports": [adapter]})
halves = {"default": from_url("postgresql:///shop")}


@transaction(adapter="reports")
def reserve(sku: str, quantity: int) -> int:
    return len(sku) * quantity


@workflow
def checkout(sku: str) -> list[int]:
    return [reserve(sku, 1)]


with executing("own") as engine:
    assert_type(engine, DjangoEngine)
    assert_type(checkout("widget"), list[int])

application: Application = asgi_lifespan(get_asgi_application(), executes="all")
reserve("widget", "two")  # type: ignore[arg-type]
executing("some")  # type: ignore[arg-type]
