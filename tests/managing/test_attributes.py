"""Attributes: JSON that is attached to a workflow at its start or later, and that lists can ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import durably
from durably import (
    Client,
    ConfigurationError,
    Durably,
    WorkflowNotFoundError,
    WorkflowQuery,
    workflow,
)
from durably.ledger.attributes import contains
from tests.managing.flows import LONG, Stand, echo, start

ODD = {
    "text": 'it\'s 100% of :all $1 ? "x" \\ \u00e9 \U0001f9f5',
    "'; DROP TABLE x; --": 1,
    "a.b": {"c": [1, 2, {"d": None}]},
    "": "",
    "true": True,
    "number": 1.5,
    "big": 2**60,
    "none": None,
    "backslash": "\\u0000",
}


def found(**query: Any) -> list[str]:
    """The ids of what a query finds."""
    return [one.workflow_id for one in durably.list_workflows(WorkflowQuery(**query))]


def test_at_the_start_and_later(system_url: str) -> None:
    with Durably("attributes", system_database_url=system_url):
        handle = start(echo, "w", 1, attributes=ODD)
        assert handle.get_status().attributes == ODD
        durably.update_workflow_attributes("w", {"only": [1, {"a": "b"}]})
        assert handle.get_status().attributes == {"only": [1, {"a": "b"}]}
        durably.update_workflow_attributes("w", {})
        assert handle.get_status().attributes == {}
        durably.update_workflow_attributes("w", ODD)
        durably.update_workflow_attributes("w", None)
        assert handle.get_status().attributes == {}
        assert start(echo, "plain", 1).get_status().attributes == {}


def test_a_second_start_does_not_change_them(system_url: str) -> None:
    with Durably("attributes", system_database_url=system_url):
        start(echo, "w", 1, attributes={"first": True})
        start(echo, "w", 1, attributes={"second": True})
        assert durably.get_workflow_status("w").attributes == {"first": True}


def test_children_do_not_inherit_them(system_url: str) -> None:
    @workflow
    def parent() -> None:
        echo(1)

    with Durably("attributes", system_database_url=system_url):
        start(parent, "p", attributes={"a": 1}).get_result(timeout_seconds=LONG)
        assert durably.get_workflow_status("p-1").attributes == {}


@pytest.mark.parametrize("key", list(ODD))
def test_each_is_found_by_its_value(system_url: str, key: str) -> None:
    with Durably("attributes", system_database_url=system_url):
        start(echo, "w", 1, attributes=ODD)
        start(echo, "other", 1, attributes={key: "another"})
        start(echo, "none", 1)
        assert found(attributes={key: ODD[key]}) == ["w"]
        assert found(attributes={key: "another"}) == ["other"]
        assert found(attributes={"missing": ODD[key]}) == []


#: Attributes, what is asked for, and whether that is contained.
CONTAINED: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
    ({"a": 1}, {}, True),
    ({"a": 1}, {"a": 1.0}, True),
    ({"a": 1}, {"a": True}, False),
    ({"a": True}, {"a": 1}, False),
    ({"a": 0}, {"a": None}, False),
    ({"a": "1"}, {"a": 1}, False),
    ({"a": None}, {"a": None}, True),
    ({}, {"a": None}, False),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, True),
    ({"a": {"c": 2, "b": 1}}, {"a": {"b": 1, "c": 2}}, True),
    ({"a": {"b": 1}}, {"a": {"c": 2}}, False),
    ({"a": [1, 2, 3]}, {"a": [3, 1]}, True),
    ({"a": [1, 2]}, {"a": [1, 1, 1]}, True),
    ({"a": [1, 2]}, {"a": [4]}, False),
    ({"a": [1]}, {"a": []}, True),
    ({"a": [{"b": 1, "c": 2}]}, {"a": [{"c": 2}]}, True),
    ({"a": [[1, 2]]}, {"a": [[2]]}, True),
    ({"a": [1]}, {"a": {}}, False),
    ({"a": {}}, {"a": []}, False),
]


def test_what_contained_means(system_url: str) -> None:
    with Durably("attributes", system_database_url=system_url, executes="none"):
        for number, (attributes, _, _) in enumerate(CONTAINED):
            start(echo, f"w{number}", 1, attributes=attributes)
        for number, (attributes, wanted, expected) in enumerate(CONTAINED):
            assert (found(attributes=wanted, workflow_ids=[f"w{number}"]) == [f"w{number}"]) is expected, (
                attributes,
                wanted,
            )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON, min_size=1, max_size=3)


def test_sqlite_means_by_it_what_postgresql_means(postgres_url: str) -> None:
    import json

    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:

        @settings(max_examples=150, deadline=None)
        @given(OBJECTS, OBJECTS)
        def same(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
            texts = json.dumps(value), json.dumps(wanted)
            row = connection.execute("SELECT %s::jsonb @> %s::jsonb", texts).fetchone()
            assert row == (contains(*texts),)

        same()


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "text",
        {1: "a"},
        {"a": {1: 2}},
        {"a": (1, 2)},
        {"a": float("nan")},
        {"a": object()},
        {"a": "\0"},
        {"\0": 1},
        {"a": "\ud800"},
    ],
    ids=["list", "text", "key", "inner-key", "tuple", "nan", "object", "nul", "nul-key", "surrogate"],
)
def test_what_is_no_plain_json_object_is_refused(system_url: str, wrong: Any) -> None:
    with Durably("attributes", system_database_url=system_url):
        handle = start(echo, "w", 1)
        with pytest.raises(ConfigurationError, match="plain JSON object"):
            start(echo, "x", 1, attributes=wrong)
        with pytest.raises(ConfigurationError, match="plain JSON object"):
            durably.update_workflow_attributes("w", wrong)
        with pytest.raises(ConfigurationError, match="plain JSON object"):
            found(attributes=wrong)
        assert handle.get_result(timeout_seconds=LONG) == 1


def test_of_a_workflow_that_is_not_there(system_url: str) -> None:
    with Durably("attributes", system_database_url=system_url), Client(system_url, name="attributes") as client:
        for one in (durably, client):
            with pytest.raises(WorkflowNotFoundError, match="nobody"):
                one.update_workflow_attributes("nobody", {"a": 1})


def test_in_a_workflow_it_is_recorded(system_url: str, stand: Stand) -> None:
    lives: list[int] = []

    class Killed(BaseException):
        pass

    @workflow
    def flow() -> str:
        with pytest.raises(WorkflowNotFoundError):
            durably.update_workflow_attributes("nobody", {"a": 1})
        durably.update_workflow_attributes("f", {"progress": 0.5})
        lives.append(1)
        if len(lives) == 1:
            raise Killed
        return "done"

    with Durably("attributes", system_database_url=system_url, lease_seconds=0.6):
        with durably.workflow_options(workflow_id="f"), pytest.raises(Killed):
            flow()
        assert durably.get_workflow_status("f").attributes == {"progress": 0.5}
        durably.update_workflow_attributes("f", {"progress": "set by hand"})
        assert durably.get_result("f", timeout_seconds=LONG) == "done"
        assert durably.get_workflow_status("f").attributes == {"progress": "set by hand"}


def test_awaited(system_url: str) -> None:
    async def main() -> dict[str, Any]:
        async with Durably("attributes", system_database_url=system_url):
            with durably.workflow_options(workflow_id="w", attributes={"a": 1}):
                await durably.aio.start_workflow(echo, 1)
            await durably.aio.update_workflow_attributes("w", {"b": 2})
            return (await durably.aio.get_workflow_status("w")).attributes

    assert asyncio.run(main()) == {"b": 2}
