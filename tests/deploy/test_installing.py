"""Messages where a step of the Makefile, or the installation of a program, fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import wheels
from deploy.installers import PROJECT


def test_a_failing_step_prints_its_own_output(tmp_path: Path) -> None:
    """A failing step of the Makefile prints its own output and where the log is."""
    log = tmp_path / "setup.log"
    log.write_text("==> an older step\nolder trouble\n")
    calls = tmp_path / "calls.mk"
    calls.write_text(
        f"include {PROJECT}/Makefile\nstep:\n\t$(call quietly,a step,echo its trouble; false)\n"
    )
    done = subprocess.run(
        ["make", "-f", calls, f"SETUP_LOG={log}", "step"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "==> a step",
        "its trouble",
        f"==> this step failed; all that it said is in {log}",
    ]


def test_a_misspelt_setting_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    """The first `make run MODLE=echo` names the setting, and no environment is made."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/uv.txt").touch()
    done = subprocess.run(
        ["make", "-f", PROJECT / "Makefile", f"PYTHON={sys.executable}", "MODLE=echo", ".venv/.uv"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr.startswith("==> make: MODLE is no setting; did you mean MODEL?\n")
    assert not (tmp_path / ".venv").exists()


def test_a_failed_installation_has_its_commands_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a failed installation has its command's output alone."""
    monkeypatch.setattr(wheels, "cache_dir", lambda: tmp_path)
    wheels.run(["echo", "older words"], "older")
    with pytest.raises(wheels.ProgramMissing, match="its trouble") as raised:
        wheels.run(["sh", "-c", "echo its trouble; exit 3"], "program")

    assert "older words" not in str(raised.value)
    assert (tmp_path / "install.log").read_text() == "older words\nits trouble\n"
