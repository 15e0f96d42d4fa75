"""`import durably` is quick, and loads nothing but the standard library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

LIMIT_MS = 150
PROGRAM = """
import json, sys, time
before = set(sys.modules)
began = time.perf_counter()
import durably
took = (time.perf_counter() - began) * 1000
print(json.dumps({"took_ms": took, "modules": sorted(set(sys.modules) - before)}))
"""


class Import(NamedTuple):
    took_ms: float
    modules: list[str]


@pytest.fixture(scope="module")
def fastest(tmp_path_factory: pytest.TempPathFactory) -> Import:
    """The best of several cold imports, each in a process of its own; the first one writes the bytecode."""
    folder = tmp_path_factory.mktemp("import")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    return min(_import(folder, environment) for _ in range(8))


def _import(folder: Path, environment: dict[str, str]) -> Import:
    program = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return Import(**json.loads(run.stdout))


def test_a_cold_import_is_quick(fastest: Import) -> None:
    assert fastest.took_ms < LIMIT_MS


def test_only_the_standard_library_is_loaded(fastest: Import) -> None:
    roots = {module.partition(".")[0] for module in fastest.modules}
    assert roots - sys.stdlib_module_names == {"durably"}


@pytest.mark.parametrize("heavy", ["asyncio", "sqlalchemy", "psycopg", "pydantic", "typer", "importlib.metadata"])
def test_what_a_feature_needs_waits_for_it(fastest: Import, heavy: str) -> None:
    assert heavy not in fastest.modules
