"""Methods can be declared, with the built-in decorators above or below; a row says on what a workflow method runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import durably
from durably import DeclarationError, Durably, SerializationError, configured, step, workflow
from durably.declared import declaration_of
from durably.registry import registry


class Mailer:
    """A class with every kind of durable method."""

    region = "none"

    def __init__(self, region: str) -> None:
        self.region = region
        self.sent: list[str] = []

    @step
    def send(self, to: str) -> str:
        self.sent.append(to)
        return f"{self.region}:{to}"

    @step
    async def send_later(self, to: str) -> str:
        await asyncio.sleep(0)
        return f"{self.region}:{to}"

    @classmethod
    @step
    def below_classmethod(cls, to: str) -> str:
        return f"{cls.__name__}:{to}"

    @staticmethod
    @step
    def below_staticmethod(to: str) -> str:
        return f"static:{to}"

    @workflow
    def campaign(self, to: str) -> list[str]:
        return [self.send(to), self.below_classmethod(to), self.below_staticmethod(to)]

    @workflow
    async def campaign_later(self, to: str) -> str:
        return await self.send_later(to)

    @classmethod
    @workflow
    def campaign_of_class(cls, to: str) -> str:
        return cls.below_classmethod(to)

    @staticmethod
    @workflow
    def campaign_of_none(to: str) -> str:
        return Mailer.below_staticmethod(to)


class Texter(Mailer):
    """Inherits the durable methods."""


EU = Mailer("eu")
MODULE_LEVEL = {name for name in registry.names() if name.startswith(__name__)}


@pytest.fixture
def app(system_url: str) -> Any:
    """An engine, with the instance that rows name."""
    configured("mailer-eu", EU)
    EU.sent.clear()
    with Durably("methods", system_database_url=system_url) as launched:
        yield launched


def test_methods_are_named_by_their_class() -> None:
    assert f"{__name__}.Mailer.campaign" in MODULE_LEVEL
    assert f"{__name__}.Mailer.below_staticmethod" in MODULE_LEVEL


def test_every_kind_of_method_runs_as_a_workflow(app: Durably) -> None:
    assert EU.campaign("x") == ["eu:x", "Mailer:x", "static:x"]
    assert durably.start_workflow(EU.campaign, "y").get_result(timeout_seconds=30) == ["eu:y", "Mailer:y", "static:y"]
    assert durably.start_workflow(EU.campaign_later, "x").get_result(timeout_seconds=30) == "eu:x"
    assert Mailer.campaign_of_class("x") == "Mailer:x"
    assert Texter.campaign_of_class("x") == "Texter:x"
    assert durably.start_workflow(Texter.campaign_of_class, "y").get_result(timeout_seconds=30) == "Texter:y"
    assert Mailer.campaign_of_none("x") == "static:x"
    assert durably.start_workflow(Mailer.campaign_of_none, "y").get_result(timeout_seconds=30) == "static:y"


def test_the_row_names_class_and_instance(app: Durably) -> None:
    status = durably.start_workflow(EU.campaign, "x").get_status()
    assert (status.class_name, status.config_name) == (f"{__name__}.Mailer", "mailer-eu")
    status = durably.start_workflow(Texter.campaign_of_class, "x").get_status()
    assert (status.class_name, status.config_name) == (f"{__name__}.Texter", None)
    status = durably.start_workflow(Mailer.campaign_of_none, "x").get_status()
    assert (status.class_name, status.config_name) == (None, None)


def test_the_built_in_decorators_may_be_below() -> None:
    class Sender:
        @step(name="above-classmethod")
        @classmethod
        def of_class(cls, to: str) -> str:
            return f"{cls.__name__}:{to}"

        @step(name="above-staticmethod")
        @staticmethod
        def of_none(to: str) -> str:
            return f"static:{to}"

    assert Sender.of_class("x") == Sender().of_class("x") == "Sender:x"
    assert Sender.of_none("x") == Sender().of_none("x") == "static:x"
    assert registry.find("above-classmethod") is declaration_of(Sender.of_class)
    assert registry.find("above-staticmethod") is declaration_of(Sender.of_none)


def test_another_executor_runs_it_on_its_own_instance(system_url: str) -> None:
    configured("mailer-eu", EU)
    with Durably("methods", system_database_url=system_url, executes="none"):
        ids = [
            durably.start_workflow(EU.campaign, "x").workflow_id,
            durably.start_workflow(EU.campaign_later, "x").workflow_id,
            durably.start_workflow(Texter.campaign_of_class, "x").workflow_id,
            durably.start_workflow(Mailer.campaign_of_none, "x").workflow_id,
        ]
    with Durably("methods", system_database_url=system_url):
        results = [durably.get_result(one, timeout_seconds=30) for one in ids]
    assert results == [["eu:x", "Mailer:x", "static:x"], "eu:x", "Texter:x", "static:x"]


def test_an_instance_without_a_name_is_refused_at_the_call(app: Durably) -> None:
    nameless = Mailer("us")
    for call in (lambda: nameless.campaign("x"), lambda: durably.start_workflow(nameless.campaign, "x")):
        with pytest.raises(SerializationError, match=r"durably\.configured\('a-name', Mailer\(\.\.\.\)\)"):
            call()
    assert nameless.sent == []


def test_a_step_on_a_nameless_instance_is_fine(app: Durably) -> None:
    nameless = Mailer("us")

    @workflow
    def flow() -> str:
        return nameless.send("x")

    assert flow() == "us:x"


def test_the_same_id_on_two_instances_is_a_conflict(app: Durably) -> None:
    us = configured("mailer-us", Mailer("us"))
    with durably.workflow_options(workflow_id="m-1"):
        EU.campaign("x")
    with durably.workflow_options(workflow_id="m-1"), pytest.raises(durably.WorkflowIdConflictError):
        us.campaign("x")
    assert us.sent == []


def test_one_name_is_one_instance() -> None:
    configured("mailer", EU)
    configured("mailer", EU)
    with pytest.raises(DeclarationError, match="'mailer'"):
        configured("mailer", Mailer("us"))
    assert registry.instance("mailer") is EU


def test_one_name_is_not_two_classes() -> None:
    class Printer:
        """Nothing like a Mailer."""

    configured("device", EU)
    with pytest.raises(DeclarationError, match="'device'"):
        configured("device", Printer())
    assert registry.instance("device") is EU
