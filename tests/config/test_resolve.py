"""Settings: an argument goes before the environment, that before the default; and a wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from durably.config import Settings, resolve
from durably.errors import ConfigurationError

SYSTEM = "postgresql://localhost/system"
OTHER = "sqlite:///other.db"


def settings(
    environment: dict[str, str] | None = None, *, adapter_url: str | None = None, **arguments: Any
) -> Settings:
    return resolve("shop", adapter_url=adapter_url, environment=environment or {}, **arguments)


# -- where a value comes from ------------------------------------------------------------------------------------


def test_without_anything_there_are_defaults() -> None:
    assert settings() == Settings("shop", "sqlite:///shop.durably.db")


@pytest.mark.parametrize(
    ("key", "variable", "value", "other"),
    [
        ("system_database_url", "DURABLY_SYSTEM_DATABASE_URL", SYSTEM, OTHER),
        ("application_database_url", "DURABLY_APPLICATION_DATABASE_URL", SYSTEM, OTHER),
        ("app_db_client", "DURABLY_APP_DB_CLIENT", "sqlalchemy", "django"),
        ("application_version", "DURABLY_APPLICATION_VERSION", "v1", "v2"),
        ("executes", "DURABLY_EXECUTES", "own", "none"),
    ],
)
def test_an_argument_goes_before_the_environment(key: str, variable: str, value: str, other: str) -> None:
    assert getattr(settings({variable: value}), key) == value
    assert getattr(settings({variable: value}, **{key: other}), key) == other
    assert getattr(settings({variable: value}, **{key: None}), key) == value
    assert getattr(settings({variable: ""}), key) == getattr(settings(), key), "an empty variable is none"


def test_the_process_environment_is_what_counts_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLY_SYSTEM_DATABASE_URL", SYSTEM)
    assert resolve("shop", adapter_url=None).system_database_url == SYSTEM


# -- where the system database is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "system"),
    [
        ("postgresql://u:p@h/app", "postgresql://u:p@h/app"),
        ("postgresql+asyncpg://h/app?a=b", "postgresql://h/app?a=b"),
        ("postgres://h/app", "postgresql://h/app"),
        ("sqlite:///app.db", "sqlite:///shop.durably.db"),
        ("sqlite+aiosqlite:///data/app.db", "sqlite:///data/shop.durably.db"),
        ("sqlite:////var/lib/app.db", "sqlite:////var/lib/shop.durably.db"),
        ("sqlite:////var/lib/app.db?timeout=5", "sqlite:////var/lib/shop.durably.db"),
    ],
)
def test_it_is_the_application_database_on_postgresql_and_a_file_beside_it_on_sqlite(
    application: str, system: str
) -> None:
    assert settings(application_database_url=application).system_database_url == system
    assert settings(adapter_url=application).system_database_url == system
    assert settings({"DURABLY_APPLICATION_DATABASE_URL": application}).system_database_url == system


def test_a_configured_one_goes_before_that_rule() -> None:
    assert (
        settings(application_database_url="postgresql://h/app", system_database_url=OTHER).system_database_url == OTHER
    )


def test_the_configured_application_database_goes_before_the_adapters() -> None:
    found = settings(application_database_url="postgresql://h/app", adapter_url="sqlite:////x/app.db")
    assert found.system_database_url == "postgresql://h/app"


def test_mysql_needs_a_system_database_elsewhere() -> None:
    with pytest.raises(ConfigurationError, match="system_database_url"):
        settings(application_database_url="mysql://h/app")
    with pytest.raises(ConfigurationError, match="system_database_url"):
        settings(system_database_url="mariadb://h/app")
    assert settings(application_database_url="mysql://h/app", system_database_url=OTHER).system_database_url == OTHER


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shop", "my-shop_2.0", "A", "x" * 64])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert resolve(name, adapter_url=None, environment={}).name == name


@pytest.mark.parametrize("name", ["", " ", "my shop", "x" * 65, "shop\n", "shöp", "a/b", "../shop", "shop;", "{t}"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="application name"):
        resolve(name, adapter_url=None, environment={})


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"executes": "some"}, "executes.*'some'.*all, own, none"),
        ({"lease_seconds": 0}, "lease_seconds"),
        ({"lease_seconds": -1.0}, "lease_seconds"),
        ({"transaction_retry_seconds": 0}, "transaction_retry_seconds"),
        ({"system_database_url": "shop.db"}, r"shop\.db.*postgresql://.*sqlite:///"),
        ({"system_database_url": "oracle://h/x"}, "oracle.*postgresql://"),
        ({"application_database_url": "oracle://h/x"}, "oracle.*postgresql://"),
        ({"system_database_url": "sqlite://"}, "names no file"),
        ({"system_database_url": "sqlite:///"}, "names no file"),
        ({"system_database_url": "sqlite:///:memory:"}, "names no file.*does not survive a crash"),
        ({"system_database_url": "sqlite://shop.db"}, "names no file.*sqlite:///shop.db"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        settings(**arguments)


def test_a_wrong_setting_of_the_environment_is_named_too() -> None:
    with pytest.raises(ConfigurationError, match="executes"):
        settings({"DURABLY_EXECUTES": "some"})
