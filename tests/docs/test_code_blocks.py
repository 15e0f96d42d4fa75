"""The README's and the documentation's examples run, and every public name is documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import durably

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNNER = Path(__file__).with_name("page.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    # In a process of its own: a page's engines, threads and declarations are no business of the next one.
    program = [sys.executable, "-W", "error", str(RUNNER), str(page)]
    run = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_public_name_is_documented() -> None:
    words = {word for page in PAGES for word in re.findall(r"\w+", page.read_text(encoding="utf-8"))}
    assert [name for name in durably.__all__ if name not in words] == []


SAMPLE = """
<!-- file: greet.py -->
```python
def greet(name): return f"Hello {name} at {id(name)}"
```
<!-- no-run: there is no such module -->
```python
import no_such_module
```
```python
from greet import greet
seen = [greet("you")]
```
```python
assert seen
assert __name__ == "__main__"
```
<!-- run: python -c "import greet; print('first'); print(greet.greet('x'))" -->
```console
$ python greeting.py
first
Hello x at ...
```
"""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("", ""), ""),
        (("assert seen", "assert not seen"), "line 15"),
        (("\nfirst", "\nsecond"), "does not print 'second'"),
        (("import no_such_module", "import no such module"), "SyntaxError"),
        (("print('first')", "raise SystemExit(3)"), "ended with 3"),
    ],
)
def test_the_runner_finds_what_is_wrong(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    page = tmp_path / "sample.md"
    page.write_text(SAMPLE.replace(*change, 1))
    program = [sys.executable, str(RUNNER), str(page)]
    run = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert complaint in run.stderr
    assert (run.returncode == 0) == (complaint == "")
