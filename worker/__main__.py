"""`python -m worker`: run a worker.

Imports nothing else: a process of rooms that is started anew reads this file as well.
"""

import sys


def main() -> int:
    """Run a worker; return the exit status."""
    from worker.worker import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
