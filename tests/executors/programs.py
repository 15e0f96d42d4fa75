"""Programs in processes of their own, which can be killed at a crash point and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SECONDS = 60


class Program:
    """A file of Python code. It is called with its arguments, and appends what it does to a journal."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.path = folder / "program.py"
        self.path.write_text(text)
        self.journal_path = folder / "journal.txt"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, however that comes."""
        return subprocess.run(
            [sys.executable, "-W", "error", str(self.path), *arguments],
            env={**os.environ, "JOURNAL": str(self.journal_path)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin to run it; the caller waits for it or kills it."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(self.path), *arguments],
            env={**os.environ, "JOURNAL": str(self.journal_path)},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def journal(self) -> list[str]:
        """The lines written so far, over all processes."""
        return self.journal_path.read_text().splitlines() if self.journal_path.exists() else []
