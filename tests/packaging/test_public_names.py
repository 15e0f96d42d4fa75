"""`durably.__all__` is the list of what users import: sorted, complete, and nothing on it is missing."""

from __future__ import annotations

import types

import durably


def test_the_list_is_sorted() -> None:
    assert list(durably.__all__) == sorted(set(durably.__all__))


def test_every_name_on_the_list_is_there() -> None:
    assert [name for name in durably.__all__ if not hasattr(durably, name)] == []


def test_every_public_name_is_on_the_list() -> None:
    # Submodules that something has imported are attributes too; they are public only if they are listed.
    public = {
        name
        for name, value in vars(durably).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert public <= set(durably.__all__)


def test_the_version_is_the_packages_own() -> None:
    from importlib.metadata import version

    assert durably.__version__ == version("durably")
