"""Programs whose settings come from the environment take no arguments."""

import importlib
import sys

import pytest

PROGRAMS = [
    "worker.__main__",
    "token_service.__main__",
    "deploy.launch.run",
    "deploy.configuration",
]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("argument", "status", "told"),
    [("--help", 0, "Settings come from the environment"), ("--port=9", 2, "--port=9")],
)
def test_no_program_starts_with_an_argument(
    program: str,
    argument: str,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--help` says where settings come from; another argument is refused by its name."""
    monkeypatch.setattr(sys, "argv", [program, argument])

    with pytest.raises(SystemExit) as ended:
        importlib.import_module(program).main()

    assert ended.value.code == status
    assert told in "".join(capsys.readouterr())
