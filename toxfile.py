"""Lets tox find the interpreters that pyenv has installed but not put on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tox.plugin import impl

if TYPE_CHECKING:
    from tox.config.cli.parser import ToxParser


def _pyenv_interpreters() -> list[str]:
    root = os.environ.get("PYENV_ROOT")
    if root is None and (pyenv := shutil.which("pyenv")):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
    versions = Path(root or Path.home() / ".pyenv") / "versions"
    return [str(python) for python in sorted(versions.glob("3.*/bin/python"))]


@impl
def tox_add_option(parser: ToxParser) -> None:  # noqa: ARG001
    # This hook runs before options are read; TOX_DISCOVER is the environment's name for `--discover`.
    if "TOX_DISCOVER" not in os.environ and (found := _pyenv_interpreters()):
        os.environ["TOX_DISCOVER"] = "\n".join(found)
