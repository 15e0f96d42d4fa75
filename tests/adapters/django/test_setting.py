"""The setting DURABLY: its defaults, and every fault, by its system check's id and at launch."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from durably import ConfigurationError
from durably_django import conf
from durably_django.checks import check_setting
from tests.adapters.django.site import Site

POSTGRES = "postgresql://ann:secret@db/shop"


def found(setting: Any) -> list[checks.CheckMessage]:
    with override_settings(DURABLY=setting):
        return list(check_setting())


def test_the_name_is_all_that_is_needed(site: Site) -> None:
    site.add("default", POSTGRES)
    assert found({"name": "shop"}) == []
    with override_settings(DURABLY={"name": "shop"}):
        read = conf.read()
        assert (read.system_alias, read.adapters, read.executes) == ("default", ("default",), "none")
        assert read.system_address() == POSTGRES
        assert read.options == {"run_migrations": False}
        assert read.apart() == []


def test_aliases_of_one_database_are_together_whoever_connects(site: Site) -> None:
    site.add("default", POSTGRES)
    site.add("other_user", "postgresql://bob@db/shop")
    site.add("reports", "postgresql://ann@db/reports")
    with override_settings(DURABLY={"name": "shop", "adapters": ["default", "other_user", "reports"]}):
        assert conf.read().apart() == ["reports"]
    address = {"system_database": "sqlite:////srv/durably.db", "adapters": ["default", "reports"]}
    with override_settings(DURABLY={"name": "shop", **address}):
        assert conf.read().apart() == ["default", "reports"]
        assert conf.read().options == {"run_migrations": True}


@pytest.mark.parametrize(
    ("setting", "id_", "said"),
    [
        ([], "durably.E001", "not a dictionary"),
        ({"name": "shop", "adaptors": []}, "durably.E002", "did you mean 'adapters'"),
        ({"name": "shop", "x": 1}, "durably.E002", "system_database"),
        ({}, "durably.E003", "no usable name"),
        ({"name": "my shop"}, "durably.E003", "my shop"),
        ({"name": "shop", "executes": "some"}, "durably.E004", "all, own, none"),
        ({"name": "shop", "system_database": "defualt"}, "durably.E005", "defualt"),
        ({"name": "shop", "system_database": None}, "durably.E005", "no text"),
        ({"name": "shop", "system_database": "maria"}, "durably.E006", "needs PostgreSQL or SQLite"),
        ({"name": "shop", "run_migrations": True}, "durably.E007", "manage.py migrate"),
        ({"name": "shop", "adapters": "default"}, "durably.E009", "no list"),
        ({"name": "shop", "adapters": ["default", "nowhere"]}, "durably.E009", "nowhere"),
        ({"name": "shop", "adapters": ["manual"]}, "durably.E011", "AUTOCOMMIT"),
    ],
)
def test_each_fault_has_an_id_and_a_hint_and_is_an_error_at_launch(
    site: Site, setting: Any, id_: str, said: str
) -> None:
    site.add("default", POSTGRES)
    site.add("maria", "mysql://db/shop")
    site.add("manual", POSTGRES, AUTOCOMMIT=False)
    (message,) = found(setting)
    assert (message.id, message.level) == (id_, checks.ERROR)
    assert message.hint
    assert said in f"{message.msg} {message.hint}"
    with override_settings(DURABLY=setting), pytest.raises(ConfigurationError, match=said):
        conf.read()


def test_a_missing_driver_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("default", POSTGRES)
    known = importlib.util.find_spec
    monkeypatch.setattr(conf, "find_spec", lambda name: None if name == "psycopg" else known(name))
    assert [one.id for one in found({"name": "shop"})] == ["durably.E008"]
    assert [one.id for one in found({"name": "shop", "system_database": POSTGRES})] == ["durably.E008"]
    assert found({"name": "shop", "system_database": "sqlite:////srv/durably.db"}) == []


def test_a_missing_setting_is_a_warning() -> None:
    (message,) = check_setting()
    assert (message.id, message.level) == ("durably.W001", checks.WARNING)


def test_atomic_requests_are_warned_of_where_views_call_workflows(site: Site) -> None:
    site.add("default", POSTGRES, ATOMIC_REQUESTS=True)
    assert found({"name": "shop"}) == []
    (message,) = found({"name": "shop", "executes": "own"})
    assert message.id == "durably.W002"
    assert "non_atomic_requests" in str(message.hint)


@pytest.mark.parametrize(("charset", "ids"), [("utf8", ["durably.W004"]), ("utf8mb4", [])])
def test_a_connection_that_cannot_carry_every_character_is_warned_of(site: Site, charset: str, ids: list[str]) -> None:
    site.add("default", POSTGRES)
    site.add("maria", "mysql://db/shop", options={"charset": charset})
    assert [one.id for one in found({"name": "shop", "adapters": ["default", "maria"]})] == ids


class NoGuests:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "durably_django" else None


def test_a_router_that_keeps_the_tables_away_is_warned_of(site: Site) -> None:
    site.add("default", POSTGRES)
    with override_settings(DATABASE_ROUTERS=[NoGuests()]):
        (message,) = found({"name": "shop"})
    assert message.id == "durably.W003"
    assert "allow_migrate('default', 'durably_django', durably='system')" in str(message.hint)


def test_no_message_shows_a_password(site: Site) -> None:
    site.add("default", POSTGRES)
    for setting in ({"name": "a b"}, {"name": "shop", "system_database": "nowhere"}):
        assert "secret" not in repr(found(setting))
    with override_settings(DURABLY={"name": "shop"}):
        assert "secret" not in repr(conf.read())
    with override_settings(DURABLY={"name": "shop", "system_database": POSTGRES}):
        assert "secret" not in repr(conf.read())
