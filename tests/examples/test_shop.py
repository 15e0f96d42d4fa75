"""The demo: its worker is killed and its numbers are right; and its audit would see it if they were not."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from durably.testing.postgres import PostgresServer
from examples.shop import models, payments
from examples.shop.audit import Audit, audit
from examples.shop.databases import SERVER_VARIABLE
from examples.shop.orders import SAMPLE, BadOrders, OrderLine, read_orders

ROOT = Path(__file__).resolve().parents[2]
HEADER = "order_id,sku,quantity,unit_cents\n"


def run_demo(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.shop.demo", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )


def numbers(output: str) -> dict[str, tuple[str, str]]:
    """The table's rows: what was expected and what was found."""
    rows = re.findall(r"^(\w[\w' ]*?) {2,}([\d.,]+) +([\d.,]+) +✓ *$", output, re.MULTILINE)
    return {name: (expected, found) for name, expected, found in rows}


@pytest.fixture
def forty(tmp_path: Path) -> Path:
    file = tmp_path / "forty.csv"
    file.write_text("".join(SAMPLE.read_text().splitlines(keepends=True)[:41]))
    return file


# -- the demo itself ---------------------------------------------------------------------------------------------


def test_on_sqlite_nothing_is_lost_or_doubled(forty: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    demo = run_demo("--orders", forty, "--keep", kept)
    assert demo.returncode == 0, demo.stdout
    check_numbers(demo.stdout, forty)
    assert {"shop.db", "shop.durably.db", "payments.db", "worker.log"} <= {file.name for file in kept.iterdir()}


def test_on_postgres_nothing_is_lost_or_doubled(forty: Path, postgres_server: PostgresServer) -> None:
    demo = run_demo("--orders", forty, "--db", "postgres", **{SERVER_VARIABLE: postgres_server.url()})
    assert demo.returncode == 0, demo.stdout
    check_numbers(demo.stdout, forty)


def check_numbers(output: str, file: Path) -> None:
    orders = read_orders(file)
    found = numbers(output)
    stock = models.OPENING_STOCK * len({order.sku for order in orders}) - sum(order.quantity for order in orders)
    money = f"{sum(order.cents for order in orders) / 100:,.2f}"
    assert found == {
        "orders": ("40", "40"),
        "done": ("40", "40"),
        "lost": ("0", "0"),
        "doubled": ("0", "0"),
        "stock left": (f"{stock:,}", f"{stock:,}"),
        "money in the shop's books": (money, money),
        "money in the provider's ledger": (money, money),
        "kills survived": ("3", "3"),
    }, output
    assert len(re.findall(r"SIGKILL to worker", output)) == 3
    assert "40 done, 0 lost, 0 doubled, 3 kills survived" in output


def test_a_wrong_number_is_not_hidden(tmp_path: Path) -> None:
    """With a broken provider, a charge never succeeds: the orders are lost, and the demo says so."""
    file = tmp_path / "orders.csv"
    file.write_text(HEADER + "a,mug,1,990\n")
    demo = run_demo("--orders", file, "--keep", tmp_path / "kept", PYTHONPATH=_broken_provider(tmp_path))
    assert demo.returncode == 1, demo.stdout
    assert "0 done, 1 lost, 0 doubled" in demo.stdout
    assert "order a failed: StepAttemptsExceededError" in demo.stdout
    assert "✗ off" in demo.stdout


def _broken_provider(tmp_path: Path) -> str:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import random\nrandom.random = lambda: 0.0\n")
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


@pytest.mark.parametrize("content", ["", "order_id,sku\n", HEADER, HEADER + "a,mug,none,990\n", HEADER + "a,mug\n"])
def test_an_unusable_file_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(content)
    demo = run_demo("--orders", file)
    assert demo.returncode == 2
    assert str(file) in demo.stdout.replace("\n", "")
    assert "Traceback" not in demo.stdout


def test_a_server_that_is_not_there_is_said() -> None:
    demo = run_demo("--db", "postgres", **{SERVER_VARIABLE: "postgresql://nobody@127.0.0.1:1/none"})
    assert demo.returncode == 2
    assert SERVER_VARIABLE in demo.stdout
    assert "Traceback" not in demo.stdout


# -- its parts ---------------------------------------------------------------------------------------------------


def test_the_sample_has_200_orders() -> None:
    orders = read_orders(SAMPLE)
    assert len(orders) == 200
    assert {order.quantity for order in orders} == {1, 2, 3, 4, 5}
    assert len({order.sku for order in orders}) > 3


def test_an_order_that_is_in_the_file_twice_is_one_order(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(HEADER + "a,mug,1,990\nb,mug,2,990\na,mug,1,990\n")
    assert [order.order_id for order in read_orders(file)] == ["a", "b"]
    file.write_text(HEADER + "a,mug,1,990\na,mug,2,990\n")
    with pytest.raises(BadOrders, match=r"line 3: order 'a'"):
        read_orders(file)


def test_the_provider_charges_once_per_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(payments.LEDGER_VARIABLE, str(tmp_path / "payments.db"))
    monkeypatch.setattr(payments, "LATENCY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(payments, "UNREACHABLE", 0.0)
    monkeypatch.setattr(payments, "MUTE", 0.0)
    first = payments.charge("a", 990, idempotency_key="1")
    assert payments.charge("a", 990, idempotency_key="1") == first
    assert payments.charge("a", 990, idempotency_key="2") != first
    monkeypatch.setattr(payments, "MUTE", 1.0)
    with pytest.raises(payments.PaymentUnavailable, match="timed out"):
        payments.charge("b", 475, idempotency_key="3")
    with payments.ledger(tmp_path / "payments.db") as connection:
        rows = list(connection.execute("SELECT order_id, cents, requests FROM charges ORDER BY idempotency_key"))
    assert rows == [("a", 990, 2), ("a", 990, 1), ("b", 475, 1)]


# -- the audit sees what is wrong --------------------------------------------------------------------------------

ORDERS = [OrderLine("a", "mug", 1, 990), OrderLine("b", "mug", 2, 990)]


class Books:
    """A shop in which both orders were placed as they should be, to be spoilt by a test."""

    def __init__(self, engine: Engine, ledger: Path) -> None:
        self.engine, self.ledger = engine, ledger
        self.opening = models.open_shop(engine, ORDERS)
        for order in ORDERS:
            self.place(order)

    def place(self, order: OrderLine) -> None:
        """What the workflow does, by hand."""
        with Session(self.engine) as session, session.begin():
            item = session.get_one(models.Item, order.sku)
            item.stock -= order.quantity
            item.revenue_cents += order.cents
            session.add(
                models.Order(
                    order_id=order.order_id,
                    sku=order.sku,
                    quantity=order.quantity,
                    cents=order.cents,
                    status="confirmed",
                )
            )
            session.add(models.StockMovement(order_id=order.order_id, sku=order.sku, quantity=order.quantity))
            session.add(models.Sale(order_id=order.order_id, cents=order.cents, receipt="r"))
        self.charge(order, f"key-{order.order_id}")

    def charge(self, order: OrderLine, key: str) -> None:
        with payments.ledger(self.ledger) as connection:
            connection.execute(
                "INSERT INTO charges (idempotency_key, order_id, cents, receipt) VALUES (?, ?, ?, 'r')",
                (key, order.order_id, order.cents),
            )

    def change(self, sql: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(sql))

    def audit(self) -> Audit:
        return audit(self.engine, self.ledger, ORDERS, self.opening)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    yield Books(engine, tmp_path / "payments.db")
    engine.dispose()


def test_right_books_are_right(books: Books) -> None:
    found = books.audit()
    assert found.is_right
    assert (found.done, found.lost, found.doubled) == (2, 0, 0)


def test_a_second_charge_is_doubled(books: Books) -> None:
    books.charge(ORDERS[0], "another key")
    found = books.audit()
    assert (found.done, found.lost, found.doubled) == (2, 0, 1)
    assert not found.is_right


@pytest.mark.parametrize("table", ["orders", "stock_movements", "sales"])
def test_a_row_that_is_there_twice_is_doubled(books: Books, table: str) -> None:
    columns = {"orders": "sku, quantity, cents, status", "stock_movements": "sku, quantity", "sales": "cents, receipt"}
    names = f"order_id, {columns[table]}"
    books.change(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE order_id = 'a'")
    found = books.audit()
    assert (found.lost, found.doubled) == (0, 1)
    assert not found.is_right


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE orders SET status = 'reserved' WHERE order_id = 'b'",
        "DELETE FROM orders WHERE order_id = 'b'",
        "DELETE FROM stock_movements WHERE order_id = 'b'",
        "DELETE FROM sales WHERE order_id = 'b'",
    ],
)
def test_a_missing_effect_is_lost(books: Books, sql: str) -> None:
    books.change(sql)
    found = books.audit()
    assert (found.done, found.lost) == (1, 1)
    assert not found.is_right


def test_an_order_without_a_charge_is_lost(books: Books) -> None:
    with payments.ledger(books.ledger) as connection:
        connection.execute("DELETE FROM charges WHERE order_id = 'a'")
    found = books.audit()
    assert found.lost == 1
    assert found.money_at_provider == 1980 != found.money_expected


@pytest.mark.parametrize("column", ["stock", "revenue_cents"])
def test_a_total_that_is_off_is_seen(books: Books, column: str) -> None:
    books.change(f"UPDATE items SET {column} = {column} - 1")
    assert not books.audit().is_right


def test_an_order_from_nowhere_is_seen(books: Books) -> None:
    books.change("INSERT INTO orders (order_id, sku, quantity, cents, status) VALUES ('x', 'mug', 1, 1, 'confirmed')")
    assert not books.audit().is_right


def test_the_sample_is_a_plain_table() -> None:
    with SAMPLE.open(newline="") as file:
        assert next(csv.reader(file)) == ["order_id", "sku", "quantity", "unit_cents"]
