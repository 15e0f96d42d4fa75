"""The pytest plugin: databases for the scenarios, and the table of what each subject passed.

pytest -p durably.testing.conformance.plugin --conformance-json results.json
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from durably.registry import registry
from durably.testing.conformance.databases import DatabaseMissing, Databases, Site
from durably.testing.conformance.placements import PLACEMENTS, Placement
from durably.testing.conformance.results import Results
from durably.testing.conformance.scenario import FIXTURE, Needs
from durably.testing.conformance.subject import Subject

#: The property of a report that says of which subject and placement it is.
WHERE = "conformance-where"
_RESULTS = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the results go, beside the terminal."""
    group = parser.getgroup("durably", "conformance of Durably's adapters")
    group.addoption("--conformance-json", metavar="PATH", help="write the conformance results to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[_RESULTS] = Results()
    config.pluginmanager.register(_Reporter(config), "durably-conformance")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A scenario for each placement; those where it does not exist are left out below."""
    if FIXTURE in metafunc.fixturenames and _subject(metafunc.cls) is not None:
        metafunc.parametrize(FIXTURE, PLACEMENTS, indirect=True, ids=str)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A scenario that makes no sense on a database is no test there, and never counts as passed."""
    items[:] = [item for item in items if _exists(item)]


def _subject(cls: object) -> type[Subject] | None:
    subject = getattr(cls, "subject", None)
    return subject if isinstance(subject, type) and issubclass(subject, Subject) else None


def _exists(item: pytest.Item) -> bool:
    needs = getattr(getattr(item, "function", None), "conformance", None)
    subject = _subject(getattr(item, "cls", None))
    if not isinstance(needs, Needs) or subject is None:
        return True
    return needs.meets(subject, item.callspec.params[FIXTURE])  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def conformance_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """The databases of this run."""
    with Databases(tmp_path_factory.mktemp("conformance")) as databases:
        yield databases


@pytest.fixture
def conformance_site(
    request: pytest.FixtureRequest, conformance_databases: Databases, tmp_path: Path
) -> Iterator[Site]:
    """Empty databases for one scenario, and nothing declared but what it declares itself."""
    placement: Placement = request.param
    subject = _subject(request.cls)
    name = subject.name if subject is not None else ""
    request.node.user_properties.append((WHERE, [name, str(placement)]))
    before = registry.snapshot()
    try:
        with conformance_databases.site(placement, tmp_path) as site:
            yield site
    except DatabaseMissing as missing:
        pytest.skip(str(missing))
    finally:
        registry.restore(before)


class _Reporter:
    """Counts, and shows the table at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results = config.stash[_RESULTS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test is over."""
        properties = dict(report.user_properties)
        where = properties.get(WHERE)
        if isinstance(where, (list, tuple)):
            self._results.add(str(where[0]), str(where[1]), report, properties)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table, and write the file."""
        if not self._results:
            return
        terminalreporter.section("conformance of adapters")
        for line in self._results.lines():
            terminalreporter.write_line(line)
        path = self._config.getoption("--conformance-json")
        if path:
            Path(path).write_text(self._results.json(), encoding="utf-8")
