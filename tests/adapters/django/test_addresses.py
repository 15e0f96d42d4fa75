"""Aliases as addresses, and an address as the alias that it confirms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from durably import ConfigurationError, Durably
from durably_django import DjangoAdapter, from_url
from durably_django.addresses import address, dialect
from tests.adapters.django.site import Site


def entry(**changes: Any) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "OPTIONS": {}, **changes}


@pytest.fixture
def add(site: Site) -> Any:
    def add(**changes: Any) -> None:
        site.add("default", "sqlite:///unused", **entry(**changes))

    return add


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "postgresql:///shop"),
        ({"HOST": "db", "PORT": 5433, "USER": "ann"}, "postgresql://ann@db:5433/shop"),
        ({"HOST": "::1", "NAME": "a shop"}, "postgresql://[::1]/a%20shop"),
        ({"USER": "ann", "PASSWORD": "a:b@c/d", "HOST": "db"}, "postgresql://ann:a%3Ab%40c%2Fd@db/shop"),
        ({"HOST": "/run/pg", "PORT": "5433"}, "postgresql:///shop?host=%2Frun%2Fpg&port=5433"),
        ({"HOST": "one,two"}, "postgresql:///shop?host=one%2Ctwo"),
        (
            {"HOST": "db", "OPTIONS": {"sslmode": "require", "pool": True, "isolation_level": 2}},
            "postgresql://db/shop?sslmode=require",
        ),
        ({"NAME": "", "OPTIONS": {"service": "shop"}}, "postgresql:///?service=shop"),
        ({"OPTIONS": {"options": "-c search_path=a,b"}}, "postgresql:///shop?options=-c%20search_path%3Da%2Cb"),
    ],
)
def test_what_libpq_needs_is_in_the_address(add: Any, changes: dict[str, Any], expected: str) -> None:
    add(**changes)
    assert address("default") == expected
    conninfo_to_dict(expected)  # libpq can read it


def test_an_address_leads_where_django_is_connected(site: Site, postgres_url: str) -> None:
    site.add("default", postgres_url)
    found = address("default")
    assert found is not None
    with psycopg.connect(found) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (postgres_url.rpartition("/")[2],)


def test_a_file_is_named_in_full_and_quoted(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site.add("default", "sqlite:///unused", NAME=Path("my shop.db"))
    assert address("default") == f"sqlite:///{tmp_path}/my%20shop.db"


@pytest.mark.parametrize("name", [":memory:", "file:memorydb_default?mode=memory&cache=shared", "file:shop.db"])
def test_no_address_leads_into_memory(site: Site, name: str) -> None:
    site.add("default", "sqlite:///unused", NAME=name)
    assert address("default") is None


def test_mysql_has_an_address_for_messages(site: Site) -> None:
    site.add("default", "mysql://ann:secret@db:3307/shop")
    assert (address("default"), dialect("default")) == ("mysql://ann:secret@db:3307/shop", "mysql")


def test_an_alias_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no alias 'reports'; there are: 'default'"):
        dialect("reports")


# -- app_db_client: django --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@localhost:5432/shop",
        "postgres://127.0.0.1/shop",
        "postgresql+psycopg:///shop?host=/var/run/postgresql",
    ],
)
def test_an_address_that_leads_to_default_gives_its_adapter(add: Any, url: str) -> None:
    add(HOST="localhost")
    (adapter,) = from_url(url)
    assert adapter.using == "default"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/other",
        "postgresql://elsewhere/shop",
        "postgresql://localhost:5433/shop",
        "sqlite:////shop",
        "mysql://localhost/shop",
    ],
)
def test_an_address_that_leads_elsewhere_is_refused_without_showing_passwords(add: Any, url: str) -> None:
    add(HOST="localhost", USER="ann", PASSWORD="hidden")  # noqa: S106
    with pytest.raises(
        ConfigurationError, match=r"another database than Django's connection 'default'.*'shop'"
    ) as caught:
        from_url(url)
    assert "hidden" not in str(caught.value)


def test_the_same_file_by_another_path_is_accepted(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site.add("default", f"sqlite:///{tmp_path}/shop.db")
    assert len(from_url("sqlite:///shop.db")) == 1
    with pytest.raises(ConfigurationError):
        from_url("sqlite:///other.db")


def test_it_is_what_the_configuration_names(site: Site, url: str) -> None:
    site.add("default", url)
    with Durably("site", application_database_url=url, app_db_client="django") as app:
        assert "launched" in repr(app)


def test_an_adapter_tells_where_the_system_database_is_by_default(site: Site, postgres_url: str) -> None:
    site.add("default", postgres_url)
    app = Durably("site", adapters={"default": DjangoAdapter()})
    with app:
        assert "launched" in repr(app)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('durably.workflow_status')").fetchone() != (None,)
