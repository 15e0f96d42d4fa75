"""A scenario: a coroutine that is an ordinary pytest test for each placement of each subject."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from durably.adapter import DialectName
from durably.drive import drive
from durably.testing.conformance.databases import Site
from durably.testing.conformance.lab import DeclaredUnsupported, Lab, NotApplicable
from durably.testing.conformance.placements import Placement
from durably.testing.conformance.subject import Subject
from durably.testing.conformance.wire import Wire

Written = Callable[..., Coroutine[Any, Any, None]]
F = TypeVar("F", bound=Written)

#: The fixture that a scenario's ``lab`` is made from, and the property of its report that carries a declaration.
FIXTURE = "conformance_site"
UNSUPPORTED = "conformance-unsupported"
NOT_APPLICABLE = "conformance-not-applicable"


@dataclass(frozen=True)
class Needs:
    """Where a scenario makes sense, and how its lab is made."""

    databases: Sequence[DialectName] = ("postgresql", "sqlite", "mysql")
    colocated: bool | None = None
    asynchronous: bool | None = None
    lock_seconds: float = 5.0
    launched: bool = True
    wire: bool = False

    def meets(self, subject: type[Subject], placement: Placement) -> bool:
        """Whether the scenario exists for this subject there."""
        return (
            placement.database in self.databases
            and placement.database in subject.capabilities.databases
            and self.colocated in (None, placement.colocated)
            and self.asynchronous in (None, subject.asynchronous)
        )


def scenario(
    *,
    databases: Sequence[DialectName] = ("postgresql", "sqlite", "mysql"),
    colocated: bool | None = None,
    asynchronous: bool | None = None,
    lock_seconds: float = 5.0,
    launched: bool = True,
    wire: bool = False,
) -> Callable[[Written], Callable[..., None]]:
    """Make a coroutine method that takes a ``lab`` a test. Below ``pytest.mark.parametrize``, if there is any.

    ``databases``, ``colocated``, ``asynchronous``: where it exists at all. ``lock_seconds``: the subject's.
    ``launched=False``: the scenario launches the engine itself. ``wire``: the subject reaches its server through
    ``lab.wire``.
    """
    needs = Needs(databases, colocated, asynchronous, lock_seconds, launched, wire)

    def decorate(written: Written) -> Callable[..., None]:
        def test(self: Any, conformance_site: Site, request: pytest.FixtureRequest, **arguments: Any) -> None:
            run = _in_a_lab(written, self, conformance_site, needs, arguments)
            try:
                if self.subject.asynchronous:
                    asyncio.run(run)
                else:
                    drive(run)
            except DeclaredUnsupported as declared:
                request.node.user_properties.append((UNSUPPORTED, str(declared)))
            except NotApplicable as absent:
                request.node.user_properties.append((NOT_APPLICABLE, str(absent)))

        signature = inspect.signature(written)
        own = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = [one.replace(name=FIXTURE) if name == "lab" else one for name, one in signature.parameters.items()]
        test.__signature__ = signature.replace(parameters=[*parameters, own])  # type: ignore[attr-defined]
        test.__name__, test.__qualname__ = written.__name__, written.__qualname__
        test.__doc__, test.__module__ = written.__doc__, written.__module__
        test.conformance = needs  # type: ignore[attr-defined]
        return test

    return decorate


async def _in_a_lab(written: Written, suite: Any, site: Site, needs: Needs, arguments: dict[str, Any]) -> None:
    """All of it in one coroutine, and so in one task: some ORMs keep their state in the task's context."""
    with contextlib.ExitStack() as stack:
        wire = stack.enter_context(Wire(site.url)) if needs.wire else None
        lab = Lab(suite.subject, site, lock_seconds=needs.lock_seconds, launched=needs.launched, wire=wire)
        async with lab:
            await written(suite, lab, **arguments)
