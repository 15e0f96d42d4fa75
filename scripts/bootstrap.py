"""Makes the virtual environment and installs Durably into it, editable: `bootstrap.py .venv dev` (an extra).

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHORTEST_PAUSE = 5.0  # seconds between two lines of progress where the output is not a terminal
STAGES = ("Collecting", "Downloading", "Building", "Installing", "Getting", "Preparing")  # of pip's lines
OLDEST_PIP = (21, 3)  # the first that installs a pyproject.toml project in editable mode


def main(venv: Path, extra: str) -> None:
    python = venv / "bin" / "python"
    if not _works(python):
        print(f"Making {venv} with Python {sys.version.split()[0]}", flush=True)
        _make(venv, python)
    if _pip_version(python) < OLDEST_PIP:
        _install(python, "a newer pip", ["--upgrade", "pip"])
    _install(python, f"Durably and its [{extra}] extra", ["--editable", f"{ROOT}[{extra}]"])
    (venv / f".ready-{extra}").touch()


def _works(python: Path) -> bool:
    """Whether the environment is there, with pip, and its interpreter has not gone away since."""
    try:
        return _run([python, "-m", "pip", "--version"]).returncode == 0
    except OSError:
        return False


def _make(venv: Path, python: Path) -> None:
    if _run([sys.executable, "-m", "venv", "--clear", venv]).returncode == 0:
        return
    # Debian ships `venv` without `ensurepip`: make the environment bare, and let the system's pip fill it.
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    bare = _run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv])
    if bare.returncode == 0:
        target = _run([python, "-c", purelib]).stdout.strip()
        if _run([sys.executable, "-m", "pip", "install", "--target", target, "pip"]).returncode == 0:
            return
    sys.exit(f"{sys.executable} can't make environments: install its venv (apt-get install python3-venv).")


def _pip_version(python: Path) -> tuple[int, ...]:
    words = _run([python, "-m", "pip", "--version"]).stdout.split()
    return tuple(int(part) for part in words[1].split(".")[:2])


def _install(python: Path, what: str, arguments: list[str]) -> None:
    """Run pip, and show on one line what it is at; its whole output only if it fails."""
    print(f"Installing {what} (a minute or two the first time)", flush=True)
    command = [str(python), "-m", "pip", "install", "--progress-bar", "off", "--no-color", *arguments]
    output: list[str] = []
    began = shown = time.monotonic()
    terminal = sys.stdout.isatty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            output.append(line)
            now = time.monotonic()
            if not line.strip().startswith(STAGES):
                continue
            stage = f"  {now - began:4.0f} s  {line.strip().partition(' (')[0][:90]}"
            if terminal:
                print(f"\r\033[K{stage}", end="", flush=True)
            elif now - shown >= SHORTEST_PAUSE:
                shown = now
                print(stage, flush=True)
    if terminal:
        print("\r\033[K", end="")
    if pip.returncode:
        print("".join(output[-40:]))
        sys.exit(f"pip could not install {what}; its last lines are above.")
    print(f"  installed in {time.monotonic() - began:.0f} s", flush=True)


def _run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
