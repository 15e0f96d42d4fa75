"""A transaction through SQLAlchemy costs what it costs without Durably, and two statements more."""

from __future__ import annotations

from sqlalchemy import create_engine, event, make_url, text

from durably import Durably, transaction, workflow
from durably_sqlalchemy import SQLAlchemy, session
from tests.budget.counting import Cost, Counter, settled


def test_a_colocated_transaction_adds_its_guard_and_one_insert(counter: Counter) -> None:
    driver = "postgresql+psycopg" if counter.waits_for_round_trips else "sqlite"
    engine = create_engine(make_url(counter.url).set(drivername=driver))
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stock (number integer)"))
    found: list[Cost] = []

    @transaction(name="reserve")
    def reserve(number: int) -> int:
        session().execute(text("INSERT INTO stock VALUES (:number)"), {"number": number})
        session().execute(text("UPDATE stock SET number = number + 1"))
        return number

    @workflow(name="order")
    def order() -> None:
        sent.clear()
        with counter.counting() as counted:
            reserve(1)
        found.extend(counted)

    app = Durably(
        "shop",
        system_database_url=counter.url,
        lease_seconds=120,
        executes="own",
        adapters={"default": [SQLAlchemy(engine)]},
    )
    with app:
        for _ in range(8):  # until the driver has prepared everything
            order()
        settled(counter)
        found.clear()
        order()
    engine.dispose()
    assert sum("stock" in sql for sql in sent) == 2
    assert sum("operation_outputs" in sql for sql in sent) == 1
    assert (found[0].own_commits, found[0].statements) == (0, []), "the ledger itself does nothing"
    if counter.waits_for_round_trips:
        assert found[0].commits == 1
        assert len(sent) == 4, "guard, the user's two, the record"
        assert found[0].round_trips == 6, "and BEGIN and COMMIT"
