"""The files that docs/writing-an-adapter.md shows, written to a folder of this process's."""

from __future__ import annotations

import atexit
import functools
import importlib
import sys
import tempfile
from pathlib import Path

from durably.testing.conformance import Subject
from tests.docs.page import blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "writing-an-adapter.md"


def write(folder: Path) -> Path:
    """Every file of the page; the folder."""
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if block.directive == "file":
            path = folder / block.argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    return folder


@functools.cache
def subject() -> type[Subject]:
    """The page's subject, with the page's adapter."""
    folder = tempfile.TemporaryDirectory(prefix="durably-documentation-")
    atexit.register(folder.cleanup)
    # Last, so that the page's names hide nobody's. Child processes of the suite inherit it.
    sys.path.append(str(write(Path(folder.name))))
    found: type[Subject] = importlib.import_module("subject").PiccoloSubject
    return found
