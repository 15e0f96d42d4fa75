"""The registered name is what rows carry: ``module.qualname`` or ``name=``; one place each; aliases for old ones."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from durably import DeclarationError, step, workflow
from durably.declared import declaration_of
from durably.registry import registry


def name_of(function: Callable[..., Any]) -> str:
    declaration = declaration_of(function)
    assert declaration is not None
    return declaration.name


def test_the_name_is_module_and_qualname() -> None:
    @step
    def charge() -> None:
        """Does nothing."""

    here = "test_the_name_is_module_and_qualname"
    assert name_of(charge) == f"{__name__}.{here}.<locals>.charge"


def test_a_given_name_is_the_whole_name() -> None:
    @step(name="payments.charge")
    def charge() -> None:
        """Does nothing."""

    assert name_of(charge) == "payments.charge"
    assert registry.find("payments.charge") is declaration_of(charge)


def test_a_function_is_found_by_its_aliases() -> None:
    @workflow(name="new", aliases=("old", "older"))
    def flow() -> None:
        """Does nothing."""

    assert registry.find("old") is registry.find("older") is registry.find("new") is declaration_of(flow)
    assert len([one for one in registry.all() if one is declaration_of(flow)]) == 1


def test_two_places_for_one_name_are_an_error_that_names_both() -> None:
    @step(name="charge")
    def first() -> None:
        """Does nothing."""

    def second() -> None:
        """Does nothing."""

    with pytest.raises(DeclarationError) as caught:
        workflow(name="charge")(second)
    lines = [one.__code__.co_firstlineno for one in (first.__wrapped__, second)]  # type: ignore[attr-defined]
    # A decorated function begins, for Python, at its first decorator.
    for kind, line in zip(("step", "workflow"), lines, strict=True):
        assert f"{kind} at {__file__}:{line}" in str(caught.value)
    assert registry.find("charge") is declaration_of(first)


def test_an_alias_that_is_taken_registers_nothing() -> None:
    @step(name="taken")
    def first() -> None:
        """Does nothing."""

    def second() -> None:
        """Does nothing."""

    with pytest.raises(DeclarationError, match="'taken' is declared twice"):
        step(name="free", aliases=("taken",))(second)
    assert registry.find("free") is None
    assert registry.find("taken") is declaration_of(first)


MODULE = """
import durably

@durably.step(name="reloaded.charge")
def charge():
    return {value}
"""


def imported(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_a_reload_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = imported(tmp_path, "durably_reloaded", MODULE.format(value=1), monkeypatch)
    (tmp_path / "durably_reloaded.py").write_text(MODULE.format(value=22))
    again = importlib.reload(module)

    declaration = registry.find("reloaded.charge")
    assert declaration is not None
    assert declaration.function() == again.charge() == 22


def test_two_functions_behind_one_decorator_of_the_users_are_two_places() -> None:
    import functools

    def logged(function: Callable[[], int]) -> Callable[[], int]:
        @functools.wraps(function)
        def call() -> int:
            return function()

        return call

    @logged
    def first() -> int:
        return 1

    @logged
    def second() -> int:
        return 2

    step(name="same")(first)
    with pytest.raises(DeclarationError, match="'same' is declared twice"):
        step(name="same")(second)


PROGRAM = """
import durably

@durably.workflow
def checkout():
    pass

if __name__ == "__main__":
    print(checkout.__durably__.name)
    import shop_program                       # what a worker would do
    print(shop_program.checkout.__durably__.name)
"""


@pytest.mark.parametrize("how", ["path", "module"])
def test_a_program_goes_by_its_modules_own_name(tmp_path: Path, how: str) -> None:
    (tmp_path / "shop_program.py").write_text(PROGRAM)
    argument = ["shop_program.py"] if how == "path" else ["-m", "shop_program"]
    run = subprocess.run([sys.executable, *argument], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == ["shop_program.checkout"] * 2


def test_a_package_that_is_run_goes_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/__main__.py").write_text(
        "import durably\n@durably.step\ndef charge(): ...\nprint(charge.__durably__.name)\n"
    )
    command = [sys.executable, "-m", "shop"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "shop.charge"), run.stderr
