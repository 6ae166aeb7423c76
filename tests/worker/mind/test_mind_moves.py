"""A room with a mind moves to another worker: between two answers."""

from pathlib import Path

from harness.language_model import ScriptedModel, says
from tests.worker.mind.conftest import talk
from tests.worker.mind.stack import MindStack, other_worker
from tests.worker.mind.test_mind_rooms import said, sentences

ANSWER = "Dinner is ready."


async def test_a_room_moves_once_its_mind_has_answered(
    minded: MindStack, model: ScriptedModel, tmp_path: Path
) -> None:
    """A move that is asked for while the model thinks waits until its answer was said whole."""
    model.reply(says(ANSWER, pause_s=1.0))
    with other_worker(minded, tmp_path):
        async with talk(minded, "shop") as room:
            await room.type("Is dinner ready?")
            await model.asked.wait()
            await room.scene.moves()

            assert sentences(await room.until(said, "the answer has ended")) == [ANSWER]
            assert len(model.requests) == 1
