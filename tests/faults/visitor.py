"""A client in a process of its own, which a test kills: `python -m tests.faults.visitor`."""

import asyncio
import os

from harness.person import person
from harness.rooms import asking_for
from tests.faults.call import PERSONAS


async def main() -> None:
    """Call, and stay."""
    async with person(os.environ["VISIT_URL"], asking_for(*PERSONAS)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
