"""The Makefile's own words, from a makefile that includes it."""

import subprocess
from pathlib import Path

from deploy.installers import PROJECT


def test_a_step_that_fails_shows_what_it_said_itself(tmp_path: Path) -> None:
    """Older steps' troubles, which the log keeps, are not shown for this one's."""
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
