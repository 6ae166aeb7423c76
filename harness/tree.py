"""Print each folder and Python file of the repository with the first sentence of its docstring.

`make tree`, or `python -m harness.tree worker/engine` for one folder.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.wheels import PROJECT

WIDTH = 34


def lines(folder: str = ".") -> Iterator[str]:
    """Yield a line for each folder and Python file below `folder` that git tracks."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    files = sorted(map(Path, filter(_is_python, listed.stdout.split())), key=_folders_last)
    shown = None
    for file in files:
        if file.parent != shown:
            shown = file.parent
            yield f"\n{shown}/  {sentence(PROJECT / shown / '__init__.py')}".rstrip()
        if file.name != "__init__.py":
            yield f"  {file.name:<{WIDTH}}{sentence(PROJECT / file)}".rstrip()


def sentence(file: Path) -> str:
    """Return the first sentence of a file's docstring, or nothing."""
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8"))) if file.is_file() else None
    return (docstring or "").split("\n\n")[0].replace("\n", " ")


def _is_python(name: str) -> bool:
    return name.endswith(".py")


def _folders_last(file: Path) -> tuple[str, str]:
    return str(file.parent), file.name


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(*sys.argv[1:2])).lstrip() + "\n")
