"""No password is shown, in whatever form the address is written, and be it wrong."""

from __future__ import annotations

import pytest

from durably.config import Settings, libpq_url, redacted, resolve, scheme, sqlite_path
from durably.errors import ConfigurationError

SECRET = "hunter2"  # noqa: S105
FORMS = [
    "postgresql://shop:hunter2@localhost/shop",
    "postgresql://shop:hunter2@localhost:5432/shop?sslmode=require",
    "postgresql+psycopg://shop:hunter2@localhost/shop",
    "postgresql://:hunter2@localhost/shop",
    "postgresql://shop:hunter2@",
    "postgresql://shop:hunter2@/shop?host=/var/run",
    "postgresql://shop:p@hunter2@localhost/shop",
    "postgresql://shop:hunter2@p@localhost/shop",
    "postgresql://shop:p/hunter2@localhost/shop",
    "postgresql://shop:p:hunter2@localhost/shop",
    "postgresql://shop:p?hunter2@localhost/shop",
    "postgresql://shop:p#hunter2@localhost/shop",
    "postgresql://shop:p hunter2@localhost/shop",
    "postgresql://shop:p\nhunter2@localhost/shop",
    "postgresql://shop@localhost/shop?password=hunter2",
    "postgresql://shop@localhost/shop?user=a&password=hunter2&sslmode=require",
    "postgresql://shop@localhost/shop?sslpassword=hunter2",
    "postgresql://shop@localhost/shop?PASSWORD=hunter2",
    "mysql+aiomysql://shop:hunter2@localhost/shop",
    "shop:hunter2@localhost/shop",
    "postgresql:shop:hunter2@localhost/shop",
    "postgres//shop:hunter2@localhost/shop",
    "host=localhost user=shop password=hunter2 dbname=shop",
    "host=localhost password = hunter2",
    "host=localhost password='p hunter2' dbname=shop",
    r"host=localhost password='p\' hunter2' dbname=shop",
    "host=localhost password='p hunter2",
]


@pytest.mark.parametrize("url", FORMS)
def test_the_password_is_gone_and_the_rest_can_be_recognized(url: str) -> None:
    shown = redacted(url)
    assert SECRET not in shown
    assert "***" in shown
    if url.startswith("postgresql://") and url.endswith("/shop"):
        assert shown.endswith("localhost/shop")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/shop",
        "postgresql://shop@localhost:5432/shop",
        "postgresql://[::1]:5432/shop",
        "sqlite:///shop.db",
        "sqlite:////var/lib/a:b@c/shop.db",
    ],
)
def test_an_address_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert redacted(url) == url


@pytest.mark.parametrize("url", FORMS)
def test_no_error_about_an_address_shows_its_password(url: str) -> None:
    for check in (scheme, sqlite_path, libpq_url):
        told = ""
        try:
            check(url)
        except ConfigurationError as error:
            told = f"{error} {error.__cause__}"
        assert SECRET not in told


def test_an_unencoded_at_sign_in_a_password_is_told_before_anybody_looks_for_such_a_host() -> None:
    with pytest.raises(ConfigurationError, match="%40"):
        libpq_url("postgresql://shop:hun@ter2@localhost/shop")


def test_settings_show_no_password() -> None:
    settings = resolve(
        "shop",
        adapter_url=None,
        environment={},
        system_database_url="postgresql://shop:hunter2@localhost/shop",
        application_database_url="postgresql://shop:hunter2@localhost/shop",
    )
    assert isinstance(settings, Settings)
    assert SECRET not in repr(settings)
