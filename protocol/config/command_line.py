"""The command line of programs that read their settings from the environment."""

import argparse

HOW = "Settings come from the environment and .env, as PORT=9090; README.md lists them."


def refuse_arguments(program: str, does: str) -> None:
    """End the process with help for `--help`, and with exit status 2 for any other argument."""
    argparse.ArgumentParser(prog=program, description=does, epilog=HOW).parse_args()
