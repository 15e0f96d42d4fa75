"""A launch that cannot open its system database ends in one clear error, which shows no password."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psycopg
import pytest

from durably import ConfigurationError, DatabaseUnavailableError, Durably, DurablyError
from durably.client import open_ledger
from durably.clock import SystemClock
from durably.config import Settings


def launch(url: str) -> DurablyError:
    """The error that launching with this system database raises."""
    with pytest.raises(DurablyError) as raised:
        Durably("shop", system_database_url=url).launch()
    shown = "".join(traceback.format_exception(raised.value))
    assert "hunter2" not in shown, "nor does its traceback"
    return raised.value


def with_password(url: str) -> str:
    return url.replace("://durably@", "://durably:hunter2@")


# -- PostgreSQL --------------------------------------------------------------------------------------------------


def test_a_refused_connection() -> None:
    error = launch("postgresql://shop:hunter2@127.0.0.1:1/shop")
    assert isinstance(error, DatabaseUnavailableError)
    assert "postgresql://shop:***@127.0.0.1:1/shop" in str(error)
    assert "check the address" in str(error)


def test_an_unknown_database(postgres_url: str) -> None:
    error = launch(with_password(postgres_url) + "_no_such")
    assert isinstance(error, DatabaseUnavailableError)
    assert "does not exist" in str(error)


def test_an_unknown_host() -> None:
    error = launch("postgresql://shop:hunter2@no-such-host.invalid/shop")
    assert isinstance(error, DatabaseUnavailableError)
    assert "no-such-host.invalid" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hunter2@[::1/shop",
        "postgresql://shop:hunter2%zz@127.0.0.1:1/shop",
        "postgresql://shop:a hunter2@127.0.0.1:1/shop",
        "postgresql://shop:a@hunter2@127.0.0.1:1/shop",
        "postgresql://shop:hunter2@127.0.0.1:1/shop?no_such_option=1",
        "shop:hunter2@127.0.0.1/shop",
        "oracle://shop:hunter2@127.0.0.1/shop",
        "host=127.0.0.1 password=hunter2",
    ],
)
def test_an_address_that_is_wrong(url: str) -> None:
    assert isinstance(launch(url), ConfigurationError)


def test_a_user_that_may_not_create_the_tables(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute("DROP ROLE IF EXISTS durably_test_reader")
        raw.execute("CREATE ROLE durably_test_reader LOGIN PASSWORD 'hunter2'")
    try:
        error = launch(postgres_url.replace("://durably@", "://durably_test_reader:hunter2@"))
        assert isinstance(error, DatabaseUnavailableError)
        assert "permission denied" in str(error)
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as again:
            again.execute("DROP ROLE durably_test_reader")
        again.close()
        raw.close()


def test_a_database_that_is_read_only(postgres_url: str) -> None:
    open_ledger(Settings("shop", postgres_url), SystemClock()).close()
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(f"ALTER DATABASE {raw.info.dbname} SET default_transaction_read_only = on".encode())
    raw.close()
    error = launch(with_password(postgres_url))
    assert isinstance(error, DatabaseUnavailableError)
    assert "read-only" in str(error)


def test_a_launch_that_failed_can_be_tried_again(postgres_url: str) -> None:
    app = Durably("shop", system_database_url=postgres_url, run_migrations=False)
    with pytest.raises(ConfigurationError):
        app.launch()
    open_ledger(Settings("shop", postgres_url), SystemClock()).close()
    app.launch()
    app.shutdown()


NO_PSYCOPG = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from durably import ConfigurationError, Durably
try:
    Durably("shop", system_database_url="postgresql://shop:hunter2@127.0.0.1:1/shop").launch()
except ConfigurationError as error:
    print(error)
"""


def test_the_driver_that_is_not_installed() -> None:
    run = subprocess.run([sys.executable, "-c", NO_PSYCOPG], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'durably[postgres]'" in run.stdout, run.stderr
    assert "hunter2" not in run.stdout + run.stderr


# -- SQLite ------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    error = launch(f"sqlite:///{tmp_path}/missing/shop.db")
    assert isinstance(error, DatabaseUnavailableError)
    assert "folder exists" in str(error)
    assert not (tmp_path / "missing").exists()


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    assert isinstance(launch(f"sqlite:///{tmp_path}"), DatabaseUnavailableError)


def test_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.write_text("orders, customers\n" * 1000)
    error = launch(f"sqlite:///{path}")
    assert isinstance(error, DatabaseUnavailableError)
    assert "not a database" in str(error)
    assert path.read_text() == "orders, customers\n" * 1000


READ_ONLY = """
import os, sys
from durably import DatabaseUnavailableError, Durably
with Durably("warm", system_database_url=sys.argv[2]):
    pass  # every module is loaded while this user can still read it
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    Durably("shop", system_database_url=sys.argv[1]).launch()
except DatabaseUnavailableError as error:
    print(error)
"""


@pytest.mark.parametrize("migrated", [True, False])
def test_a_file_that_is_read_only(migrated: bool, sqlite_path: Path) -> None:
    """In a folder that every user can enter; an administrator's rights are given up for it."""
    with tempfile.TemporaryDirectory(prefix="durably-test-") as folder:
        path = Path(folder) / "shop.db"
        if migrated:
            open_ledger(Settings("shop", f"sqlite:///{path}"), SystemClock()).close()
        else:
            sqlite3.connect(path).execute("CREATE TABLE orders (id)").connection.close()
        path.chmod(0o444)
        os.chmod(folder, 0o555)  # noqa: S103
        try:
            run = subprocess.run(
                [sys.executable, "-c", READ_ONLY, f"sqlite:///{path}", f"sqlite:///{sqlite_path}"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                cwd=folder,
            )
        finally:
            os.chmod(folder, 0o755)  # noqa: S103
    assert "cannot open the system database" in run.stdout, run.stderr
    assert "writable" in run.stdout


def test_a_launch_error_comes_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    launch("postgresql://shop:hunter2@127.0.0.1:1/shop")
    launch(f"sqlite:///{tmp_path}/missing/shop.db")
    assert time.monotonic() - began < 5
