"""Runs the examples of one Markdown page, in order, in the current directory: `page.py README.md`.

- Python blocks run in one namespace, as one program that is called like the page.
- `<!-- no-run: reason -->` before a block: it is only compiled.
- `<!-- file: shop.py -->`: the block is written to that file instead.
- `<!-- run: python shop.py -->` before a `console` or `text` block: the command is run, and each line of the
  block must come in its output, in that order; the number of blanks between words does not matter. Lines that
  begin with `$ ` are the prompt; `...` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)``` *$", re.M | re.S)
DIRECTIVE = re.compile(r"<!--\s*(no-run|file|run):\s*(.*?)\s*-->\s*$", re.S)
COMMAND_SECONDS = 100


class Block(NamedTuple):
    language: str
    text: str
    line: int  # of the first line of its text, from 1
    directive: str  # no-run, file, run, or nothing
    argument: str


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page, each with the directive in the comment right before it."""
    end_of_last = 0
    for fence in FENCE.finditer(markdown):
        directive = DIRECTIVE.search(markdown[end_of_last : fence.start()])
        end_of_last = fence.end()
        kind, argument = directive.groups() if directive else ("", "")
        line = markdown.count("\n", 0, fence.start("text")) + 1
        yield Block(fence["language"], textwrap.dedent(fence["text"]), line, kind, argument)


def run_page(path: Path) -> None:
    """Run a page's blocks; raises at the first that fails, with the page's own line numbers."""
    program = types.ModuleType("__main__")
    program.__file__ = f"{path.stem.lower().replace('-', '_')}.py"
    sys.path.insert(0, os.getcwd())  # so that a page can import the files that it shows
    sys.modules["__main__"] = program  # where dataclasses, pickle and annotations look for a program's names
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.directive == "file":
            Path(block.argument).parent.mkdir(parents=True, exist_ok=True)
            Path(block.argument).write_text(block.text, encoding="utf-8")
        elif block.directive == "run":
            _run_command(block, path)
        elif block.language == "python":
            # Blank lines in front make the line numbers in tracebacks those of the page.
            code = compile("\n" * (block.line - 1) + block.text, str(path), "exec", dont_inherit=True)
            if block.directive != "no-run":
                exec(code, vars(program))  # noqa: S102


def _run_command(block: Block, path: Path) -> None:
    # The programs beside this interpreter come first: `python`, `durably`.
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(  # noqa: S602
        block.argument,
        shell=True,
        env={**os.environ, "PATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    where = f"{path}:{block.line}: {block.argument}"
    if run.returncode:
        raise AssertionError(f"{where} ended with {run.returncode}:\n{run.stdout}")
    output = iter(run.stdout.splitlines())
    for shown in block.text.splitlines():
        expected = re.compile(re.escape(_squeezed(shown)).replace(r"\.\.\.", ".*"))
        if shown.strip() in ("", "...") or shown.startswith("$ "):
            continue
        if not any(expected.fullmatch(_squeezed(line)) for line in output):
            raise AssertionError(f"{where} does not print {shown!r} (in this place); it prints:\n{run.stdout}")


def _squeezed(line: str) -> str:
    """How wide the columns of a table are is nobody's promise."""
    return " ".join(line.split())


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
