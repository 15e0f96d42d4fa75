"""The process that a crash scenario kills: runs one workflow of a subject that it loads from its file.

python -m durably.testing.conformance.child FILE MODULE CLASS DATABASE URL SYSTEM_URL POINT
"""

from __future__ import annotations

import asyncio
import importlib.util
import operator
import sys
from pathlib import Path
from typing import cast

from durably import crashpoints
from durably.adapter import DialectName
from durably.drive import drive
from durably.testing.conformance.control import control_of
from durably.testing.conformance.databases import Site
from durably.testing.conformance.lab import Call, Lab
from durably.testing.conformance.placements import Placement
from durably.testing.conformance.subject import Subject

WORKFLOW_ID = "killed"


def declare(lab: Lab) -> tuple[Call, list[int]]:
    """The workflow, for the process that dies and the one that recovers; and which of its parts have run here."""
    runs: list[int] = []

    async def first() -> int:
        runs.append(1)
        await lab.orm.add(1)
        return 1

    async def second() -> list[int]:
        runs.append(2)
        await lab.orm.add(2)
        return await lab.orm.items()

    return lab.workflow(lab.transaction(first), lab.transaction(second)), runs


def load(file: str, module: str, name: str) -> type[Subject]:
    """The subject of that name, from its file."""
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file that a subject can be loaded from")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    return cast("type[Subject]", operator.attrgetter(name)(loaded))


async def _run(lab: Lab, point: str) -> None:
    async with lab:
        flow, _ = declare(lab)
        crashpoints.kill_at(point)
        await lab.execute(flow, WORKFLOW_ID)


def main(arguments: list[str]) -> None:
    """Run it; does not return if all is well."""
    file, module, name, database, url, system_url, point = arguments
    subject = load(file, module, name)
    placement = Placement(cast("DialectName", database), url == system_url)
    with control_of(placement.database, url, placement.colocated) as control:
        lab = Lab(subject, Site(placement, url, system_url, control, Path.cwd()))
        run = _run(lab, point)
        if subject.asynchronous:
            asyncio.run(run)
        else:
            drive(run)


if __name__ == "__main__":
    main(sys.argv[1:])
