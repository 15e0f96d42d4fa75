"""The conformance suite: what every adapter must do, as tests. The author of an adapter writes one short file.

A ``Subject`` says how an application uses the ORM (see its docstring); the test file is three lines::

    from durably.testing.conformance import AdapterConformance

    class TestConformance(AdapterConformance):
        subject = MySubject

Run it with ``pytest -p durably.testing.conformance.plugin``. Each scenario runs on every database that the subject
declares, with the system database in the application's and apart. PostgreSQL is installed if need be; without MariaDB
its scenarios are skipped, and fail where ``CI`` is set. The table at the end says what passed, and what the subject
declares that it cannot do.
"""

from __future__ import annotations

import typing

from durably.testing.conformance.subject import Capabilities, Subject

if typing.TYPE_CHECKING:
    from durably.testing.conformance.suite import AdapterConformance as AdapterConformance

__all__ = ["AdapterConformance", "Capabilities", "Subject"]


def __getattr__(name: str) -> typing.Any:
    if name == "AdapterConformance":  # loads pytest, which a subject by itself does without
        from importlib import import_module

        return import_module("durably.testing.conformance.suite").AdapterConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
