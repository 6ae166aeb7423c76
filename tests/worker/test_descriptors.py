"""A worker's limit of open files. Its processes of rooms inherit it."""

import resource

import pytest

from worker.worker import DESCRIPTORS, allow_descriptors

USUAL = 1024  # of a container of docker: some 45 rooms in one process


@pytest.mark.parametrize("limit", [USUAL, DESCRIPTORS + 1])
def test_the_limit_is_raised(limit: int) -> None:
    """The limit of descriptors is raised as far as the machine allows, and never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        allow_descriptors()

        wanted = max(limit, min(DESCRIPTORS, hard))
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
