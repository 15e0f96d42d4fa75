"""Patches: how the code of a workflow changes while workflows of the old code are in flight.

A patch is a mark in the history. A workflow that comes by for the first time sets it and takes the new path; one that
has recorded something else there began before, and stays on the old path.
"""

from __future__ import annotations

from durably.errors import ConfigurationError
from durably.execution.calls import CallingRun
from durably.execution.waits import ANY, workflow_code


def _mark(name: str) -> str:
    return f"durably.patch-{name}"


async def patched(name: str) -> bool:
    """Whether the new path is to be taken."""
    run = _required("patch")
    there = await run.peek(_mark(name))
    if there is not None and there != _mark(name):
        return False

    async def new() -> bool:
        return True

    return await run.noted(_mark(name), new, ANY)


async def deprecated(name: str) -> bool:
    """True; the mark is passed over where it was set."""
    run = _required("deprecate_patch")
    if await run.peek(_mark(name)) != _mark(name):
        return True

    async def new() -> bool:
        return True

    return await run.noted(_mark(name), new, ANY)


def _required(verb: str) -> CallingRun:
    run = workflow_code()
    if run is None:
        raise ConfigurationError(f"durably.{verb} is for the code of a workflow, outside its steps")
    return run
