"""durably.yaml: weaker than the environment, with variables filled in, and each mistake named without its value."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import durably
from durably.config import Settings, resolve
from durably.config_file import KEYS
from durably.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(environment: dict[str, str] | None = None, **arguments: object) -> Settings:
    return resolve("shop", adapter_url=None, environment=environment or {}, **arguments)


def test_without_a_file_there_are_defaults(folder: Path) -> None:
    assert settings() == Settings("shop", "sqlite:///shop.durably.db")


def test_every_setting_can_be_in_the_file(folder: Path) -> None:
    (folder / "durably.yaml").write_text(
        """
name: shop
system_database_url: sqlite:///system.db
application_database_url: postgresql://localhost/shop
app_db_client: django
executes: own
application_version: 7
executor_id: worker-1
run_migrations: false
transaction_pooler: true
notifications: false
lease_seconds: 30
transaction_retry_seconds: 1.5
"""
    )
    found = settings()
    assert found == Settings(
        name="shop",
        system_database_url="sqlite:///system.db",
        application_database_url="postgresql://localhost/shop",
        app_db_client="django",
        executes="own",
        application_version="7",
        executor_label="worker-1",
        run_migrations=False,
        transaction_pooler=True,
        notifications=False,
        lease_seconds=30.0,
        transaction_retry_seconds=1.5,
    )
    assert len(KEYS) == 12, "a new setting belongs in this test"


def test_environment_and_arguments_go_before_the_file(folder: Path) -> None:
    (folder / "durably.yaml").write_text("executes: own\nlease_seconds: 30\n")
    assert settings({"DURABLY_EXECUTES": "none"}, lease_seconds=5.0).executes == "none"
    assert settings({"DURABLY_EXECUTES": "none"}, lease_seconds=5.0).lease_seconds == 5.0


def test_the_default_places_follow_from_the_file(folder: Path) -> None:
    (folder / "durably.yaml").write_text(
        "application_database_url: postgresql://localhost/shop\napp_db_client: peewee\n"
    )
    assert settings().system_database_url == "postgresql://localhost/shop"


def test_a_file_elsewhere_is_named_by_a_variable(folder: Path) -> None:
    (folder / "other.yaml").write_text("executes: own\n")
    assert settings({"DURABLY_CONFIG": str(folder / "other.yaml")}).executes == "own"
    with pytest.raises(ConfigurationError, match="no such file"):
        settings({"DURABLY_CONFIG": str(folder / "missing.yaml")})


def test_another_applications_file_is_not_read(folder: Path) -> None:
    (folder / "durably.yaml").write_text("name: warehouse\nexecutes: own\n")
    assert settings().executes == "all"


def test_variables_are_filled_in(folder: Path) -> None:
    (folder / "durably.yaml").write_text(
        "application_database_url: postgresql://u:${PASSWORD}@${HOST:-localhost}/shop\napp_db_client: sqlalchemy\n"
    )
    found = settings({"PASSWORD": "secret"})
    assert found.application_database_url == "postgresql://u:secret@localhost/shop"
    with pytest.raises(ConfigurationError, match="needs the environment variable PASSWORD"):
        settings({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aplication_database_url: x", "did you mean 'application_database_url'"),
        ("zzz: x", "is no setting; there are: name, "),
        ("1: x", "1 is no setting"),
        ("- a\n- b", "must be a mapping"),
        ("run_migrations: maybe", "run_migrations must be true or false"),
        ("lease_seconds: soon", "lease_seconds must be a number"),
        ("lease_seconds: true", "lease_seconds must be a number"),
        ("app_db_client: [a]", "app_db_client must be a text"),
        ("executes: sometimes", "executes is 'sometimes'"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_each_mistake_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "durably.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        settings()


def test_an_error_does_not_show_what_the_file_says(folder: Path) -> None:
    (folder / "durably.yaml").write_text("application_database_url: 'postgresql://u:secret@h/db\n  x: : {")
    with pytest.raises(ConfigurationError) as caught:
        settings()
    assert "secret" not in str(caught.value)


def test_an_application_is_configured_by_its_file_alone(folder: Path) -> None:
    from sqlalchemy import text

    from durably_sqlalchemy import session

    (folder / "durably.yaml").write_text("app_db_client: sqlalchemy\napplication_database_url: sqlite:///shop.db\n")

    @durably.transaction
    def make() -> int:
        session().execute(text("CREATE TABLE made (n integer)"))
        return 1

    @durably.workflow
    def flow() -> int:
        return make()

    with durably.Durably("shop"):
        assert flow() == 1
    assert (folder / "shop.durably.db").exists()
    with sqlite3.connect("shop.db") as raw:
        assert raw.execute("SELECT count(*) FROM made").fetchone() == (0,)
    raw.close()


def test_an_unknown_client_lists_what_is_installed(folder: Path) -> None:
    (folder / "durably.yaml").write_text("app_db_client: sqlalcemy\napplication_database_url: sqlite:///shop.db\n")
    with (
        pytest.raises(
            ConfigurationError,
            match=r"there are: django, peewee, psycopg, sqlalchemy, tortoise \(did you mean 'sqlalchemy'",
        ),
        durably.Durably("shop"),
    ):
        pass
