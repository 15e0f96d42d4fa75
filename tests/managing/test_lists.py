"""Lists and counts find what a model in Python finds, whatever is asked; pages stay right while rows come and go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durably import Client, ConfigurationError, Durably, Status, WorkflowQuery, WorkflowStatus
from durably.model import GROUPS
from durably.testing.postgres import PostgresServer
from tests.managing import population
from tests.managing.population import APPLICATION, TIMES, counted, insert, listed, remove, row

CROWD = population.crowd(7, 150)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowd_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A system database with the crowd in it; for tests that only read."""
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("crowd") / "crowd.db"
        prepared(f"sqlite:///{path}")
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"durably_crowd_{uuid4().hex[:12]}"
    url = server.create_database(name)
    prepared(url)
    yield url
    server.drop_database(name)


def prepared(url: str) -> None:
    """Make the tables, and write the crowd."""
    with Durably(APPLICATION, system_database_url=url, executes="none"):
        insert(url, CROWD)


@pytest.fixture
def client(crowd_url: str) -> Iterator[Client]:
    """A client that sees the crowd."""
    with Client(crowd_url, name=APPLICATION) as opened:
        yield opened


def ids(found: list[WorkflowStatus]) -> list[str]:
    return [one.workflow_id for one in found]


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


ALONE: dict[str, list[Any]] = {
    "workflow_ids": [["a1", CROWD[3].workflow_id, CROWD[4].workflow_id, "nobody"], []],
    "workflow_id_prefix": ["a", "a%", "a_", "b'", "\u00e9", "\U0001f9f5", "", "%", "nobody"],
    "statuses": [[Status.PENDING], ["ERROR", Status.SUCCESS], list(Status), []],
    "names": [["o'brien"], ["50%", "what?"], [":name"], ["%"], []],
    "application_versions": [["1"], ["1", "2"]],
    "executor_ids": [["e1"], ["e1", "e3"]],
    "queue_names": [["q'"], ["mails", "q'"]],
    "users": [["b%b"], ["ann"]],
    "parent_workflow_ids": [["b'2"], ["a1", "b'2"]],
    "forked_from": [["a%3"], ["a1"]],
    "created_after": [at(TIMES[2]), at(TIMES[2] + 1)],
    "created_before": [at(TIMES[2]), at(TIMES[2] + 1)],
    "started_after": [at(TIMES[3])],
    "started_before": [at(TIMES[3])],
    "completed_after": [at(TIMES[4]), at(TIMES[4]).astimezone(timezone(timedelta(hours=5)))],
    "completed_before": [at(TIMES[4])],
    "has_parent": [True, False],
    "has_queue": [True, False],
    "is_fork": [True, False],
    "attributes": [{"n": 1}, {"n": True}, {"m": [2]}, {"t": "it's ?"}, {}],
    "every_application": [True],
    "newest_first": [True],
}


def test_every_filter_is_tried() -> None:
    assert {one.name for one in fields(WorkflowQuery)} == {*ALONE, "limit", "after", "payloads"}


@pytest.mark.parametrize("name", list(ALONE))
def test_each_filter_alone(client: Client, name: str) -> None:
    for value in ALONE[name]:
        query = WorkflowQuery(**{name: value}, limit=1000)
        assert ids(client.list_workflows(query)) == listed(query, CROWD), query
        assert client.count_workflows(query) == counted(query, CROWD, [])


QUERIES = st.builds(
    WorkflowQuery,
    **{
        name: st.sampled_from(values)
        if name in ("every_application", "newest_first")
        else st.none() | st.sampled_from(values)
        for name, values in ALONE.items()
        if name != "every_application" and name != "newest_first"
    },
    every_application=st.booleans(),
    newest_first=st.booleans(),
)
GROUP_BYS = st.lists(st.sampled_from(list(GROUPS)), unique=True, max_size=3)


def test_filters_together_and_groups(client: Client) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(QUERIES, min_size=2, max_size=2), GROUP_BYS)
    def found(queries: list[WorkflowQuery], group_by: list[str]) -> None:
        # Of a query with all filters hardly anything is left: of the second one, only some are taken.
        few = {
            one.name: getattr(queries[1], one.name)
            for number, one in enumerate(fields(WorkflowQuery))
            if number % 5 == len(group_by)
        }
        for query in (queries[0], WorkflowQuery(**few)):
            long = replace(query, limit=1000)
            assert ids(client.list_workflows(long)) == listed(query, CROWD)
            assert client.count_workflows(query, group_by=group_by) == counted(query, CROWD, group_by)

    found()


def test_what_a_row_says(client: Client) -> None:
    for one in client.list_workflows(WorkflowQuery(limit=1000, every_application=True)):
        made = next(row for row in CROWD if row.workflow_id == one.workflow_id)
        assert one.cursor == f"{made.created_at}/{made.workflow_id}"
        told = replace(made, attributes=made.attributes or {})
        assert population.Row(
            one.workflow_id,
            one.status,
            one.name,
            one.application_name,
            one.application_version,
            one.executor_id,
            one.queue_name,
            one.created_at,
            one.started_at,
            one.completed_at,
            one.parent_workflow_id,
            one.forked_from,
            one.authenticated_user,
            one.attributes,
        ) == replace(told, status=one.status)
        assert one.status is made.status


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 149, 1000])
def test_pages(client: Client, newest_first: bool, limit: int) -> None:
    query = WorkflowQuery(newest_first=newest_first, limit=limit, has_parent=False)
    found: list[str] = []
    while page := client.list_workflows(query):
        assert len(page) <= limit
        found += ids(page)
        query = replace(query, after=page[-1].cursor)
    assert found == listed(query, CROWD)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_pages_while_rows_come_and_go(system_url: str, newest_first: bool, seed: int) -> None:
    """What is there from the first page to the last is listed once; what comes behind the cursor, or goes, is not."""
    random_ = population.chance(seed)
    with Durably(APPLICATION, system_database_url=system_url, executes="none") as app:
        crowd = [row(random_, number) for number in range(80)]
        insert(system_url, crowd)
        query = WorkflowQuery(newest_first=newest_first, limit=9, every_application=True)
        always = {one.workflow_id for one in crowd}
        found: list[str] = []
        number = 1000
        while page := app.list_workflows(query):
            # Exactly what the model has beyond the cursor, at this moment.
            beyond = [one for one in listed(query, crowd) if one not in found and is_beyond(query, one, crowd)]
            assert ids(page) == beyond[: query.limit]
            found += ids(page)
            query = replace(query, after=page[-1].cursor)
            for gone in random_.sample(crowd, 4):
                remove(system_url, gone.workflow_id)
                crowd.remove(gone)
                always.discard(gone.workflow_id)
            new = [row(random_, number + more) for more in range(4)]
            number += 4
            insert(system_url, new)
            crowd += new
        assert len(found) == len(set(found))
        assert always <= set(found)


def is_beyond(query: WorkflowQuery, workflow_id: str, crowd: list[population.Row]) -> bool:
    if query.after is None:
        return True
    created_at, _, last = query.after.partition("/")
    place = next(one.place for one in crowd if one.workflow_id == workflow_id)
    end = (int(created_at), last.encode())
    return place < end if query.newest_first else place > end


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"limit": 10_001}, "limit is 10001"),
        ({"statuses": ["DONE"]}, "'DONE' is no status.*MAX_RECOVERY"),
        ({"names": "shop.place"}, "names is 'shop.place'; give a list"),
        ({"workflow_ids": "w"}, "give a list"),
        ({"created_after": datetime(2024, 1, 1)}, "no time zone"),
        ({"completed_before": datetime(2024, 1, 1)}, "no time zone"),
        ({"after": "yesterday"}, "no cursor"),
        ({"after": "1"}, "no cursor"),
        ({"after": "9" * 30 + "/w"}, "no cursor"),
        ({"after": "1' OR 1=1 --/w"}, "no cursor"),
    ],
)
def test_errors(client: Client, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        client.list_workflows(WorkflowQuery(**wrong))
    if "limit" not in wrong and "after" not in wrong:
        with pytest.raises(ConfigurationError, match=message):
            client.count_workflows(WorkflowQuery(**wrong))


def test_errors_of_counts_and_of_what_is_stranded(client: Client) -> None:
    with pytest.raises(ConfigurationError, match="cannot group by 'attempt; --'; there are: status, name"):
        client.count_workflows(group_by=["attempt; --"])
    with pytest.raises(ConfigurationError, match="give a list"):
        client.count_workflows(group_by="status")
    with pytest.raises(ConfigurationError, match="limit is 0"):
        client.list_stranded_workflows(limit=0)


HOSTILE = [
    "' OR '1'='1",
    "'; DELETE FROM durably.workflow_status; --",
    "%",
    "%s %(x)s",
    "?",
    ":x :1 $1",
    "{t} {now} {in_json}",
    "\\",
    '"',
    "a\nb",
    "\u2028",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_never_taken_for_sql(client: Client, text: str) -> None:
    lists = ("workflow_ids", "names", "application_versions", "executor_ids", "queue_names", "users")
    for name in (*lists, "parent_workflow_ids", "forked_from"):
        query: dict[str, Any] = {name: [text]}
        assert client.list_workflows(WorkflowQuery(**query)) == []
    assert client.list_workflows(WorkflowQuery(attributes={text: text})) == []
    assert client.list_workflows(WorkflowQuery(workflow_id_prefix=text)) == []
    assert client.list_workflows(WorkflowQuery(after=f"{10**17}/{text}")) == []
    assert client.list_workflow_steps(text) == []
    client.cancel_workflows([text])
    client.delete_workflows([text])
    assert client.count_workflows(WorkflowQuery(every_application=True)) == {(): len(CROWD)}
