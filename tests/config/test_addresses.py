"""Database addresses: which kind they are, and which file they name."""

from __future__ import annotations

import pytest

from durably.config import libpq_url, scheme, sqlite_path
from durably.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://h/x", "postgresql"),
        ("postgres://h/x", "postgresql"),
        ("PostgreSQL+AsyncPG://h/x", "postgresql"),
        ("sqlite:///x.db", "sqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite"),
        ("mysql+asyncmy://h/x", "mysql"),
        ("mariadb://h/x", "mysql"),
    ],
)
def test_the_scheme_tells_the_kind_whatever_the_driver(url: str, kind: str) -> None:
    assert scheme(url) == kind


@pytest.mark.parametrize("url", ["", "x.db", "/x.db", "://x", "sqlite:x.db", "http://h/x", "host=h dbname=x"])
def test_anything_else_is_refused_with_examples(url: str) -> None:
    with pytest.raises(ConfigurationError, match="for example postgresql://"):
        scheme(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:///data/shop.db", "data/shop.db"),
        ("sqlite:////var/lib/shop.db", "/var/lib/shop.db"),
        ("sqlite+aiosqlite:////var/lib/shop.db?timeout=5", "/var/lib/shop.db"),
        ("sqlite:////var/my%20shop.db", "/var/my shop.db"),
        ("sqlite:////var/my shop.db", "/var/my shop.db"),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(url: str, path: str) -> None:
    assert sqlite_path(url) == path


def test_libpq_is_not_told_the_driver() -> None:
    assert libpq_url("postgresql+asyncpg://u@h/x?a=b") == "postgresql://u@h/x?a=b"
    assert libpq_url("postgres://u@h,i/x") == "postgresql://u@h,i/x"
