"""The fleet: ready workers, free slots, hosts and voices, as heartbeats tell them."""

from typing import Any

import pytest
from redis.asyncio import Redis

from protocol.errors import InvalidInput
from protocol.heartbeat import WORKERS_KEY, Heartbeat, heartbeat_key
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from tests.token_service.players import beat, die
from token_service.fleet.fleet import Fleet
from token_service.service import Service

CHEF = Persona(name="chef", label="Chef", voice="NATM1")
CATALOGUE = {"chef": CHEF}


def worker(**fields: Any) -> Heartbeat:
    """Return the heartbeat of a ready worker with six slots, two of them used."""
    usual = {"state": "ready", "model": "pocket", "slots_free": 4, "slots_used": 2}
    return Heartbeat.model_validate({"worker_id": "w"} | usual | fields)


def why_not(personas: int, *workers: Heartbeat) -> tuple[str, str, int] | None:
    """Return the obstacle's code, sentence and seconds to retry, or None."""
    obstacle = Fleet(workers).obstacle(personas)
    return obstacle and (obstacle.code, str(obstacle), obstacle.retry_after_s)


def test_a_ready_worker_with_enough_free_slots_is_no_obstacle() -> None:
    """One ready worker with slots for all personas is enough."""
    assert why_not(4, worker(state="draining"), worker()) is None


def test_a_room_is_never_split_over_workers() -> None:
    """Two workers with four free slots each have no place for five personas."""
    assert why_not(5, worker(), worker()) == (
        "full",
        "All places are taken at the moment. Try again soon.",
        15,
    )


def test_slow_steps_are_a_reason_of_their_own() -> None:
    """Where slots are free on a worker whose steps take too long, that is the reason."""
    slow = worker(slots_total=6, slots_used=2, slots_free=0, too_slow=True)
    taken = worker(slots_total=6, slots_used=6, slots_free=0)
    taken_too = taken.model_copy(update={"too_slow": True})
    answer = ("too_slow", "The conversations that run take all of its time. Try again soon.", 15)

    assert why_not(4, slow, taken) == (answer[0], f"The model is busy. {answer[1]}", answer[2])
    assert why_not(1, slow, worker()) is None
    assert [(why_not(5, slow) or ("",))[0], (why_not(1, taken_too) or ("",))[0]] == ["full"] * 2


def test_more_personas_than_a_worker_has_slots_is_a_reason_of_its_own() -> None:
    """More personas than any worker has slots are refused with a reason of their own."""
    assert why_not(7, worker(), worker()) == (
        "too_many_personas",
        "7 personas were asked for; a worker here has room for 6.",
        60,
    )


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        ({}, ("no_worker", "No worker is running.", 10)),
        ({"starting": ""}, ("loading_model", "The worker starts.", 5)),
        (
            {"connecting": "the model is loaded, not connected to LiveKit: no route"},
            ("connecting", "The model is loaded, not connected to LiveKit: no route.", 5),
        ),
        (
            {"error": "no GPU", "loading_model": "3 of 16 GB"},
            ("loading_model", "The model is still loading (3 of 16 GB).", 5),
        ),
        (
            {"draining": "1 room", "error": "no GPU"},
            ("draining", "The worker is about to restart.", 10),
        ),
        ({"error": "no GPU"}, ("worker_failed", "The worker failed: no GPU", 30)),
    ],
)
def test_without_a_ready_worker_the_reason_is_told(
    states: dict[str, str], answer: tuple[str, str, int]
) -> None:
    """No worker, a loading, a draining and a failed one are four different reasons."""
    workers = [worker(state=state, reason=reason) for state, reason in states.items()]

    assert why_not(1, *workers) == answer


@pytest.mark.parametrize(
    ("hosts", "hosted"), [({"r": 3}, True), ({"r": 2}, False), ({"q": 3}, False), ({}, False)]
)
def test_a_host_is_of_the_specs_generation(hosts: dict[str, int], hosted: bool) -> None:
    """A host of another generation or another room does not count as a room's host."""
    spec = RoomSpec(room="r", generation=3, personas=(CHEF,))

    outcomes = {room: {"generation": each, "outcome": "hosted"} for room, each in hosts.items()}

    assert Fleet((worker(state="draining", outcomes=outcomes),)).hosts(spec) is hosted


def test_voices_are_those_of_all_ready_workers() -> None:
    """The voices are those of all ready workers, each once, in order."""
    fleet = Fleet(
        (worker(voices=("b", "a")), worker(voices=("c", "a")), worker(state="error", voices=("x",)))
    )

    assert fleet.voices == ("a", "b", "c")


@pytest.mark.parametrize("voices", [(), ("default",)])
def test_a_model_with_one_voice_offers_no_choice(voices: tuple[str, ...]) -> None:
    """Without voices, or with `default` alone, there are no voices to choose from."""
    assert Fleet((worker(voices=voices),)).voices == ()


def test_an_unknown_voice_is_refused_with_the_choices() -> None:
    """A voice that no ready worker has is refused with the choices."""
    with pytest.raises(InvalidInput) as caught:
        Fleet((worker(voices=("a", "b")),)).check_voices(
            [CHEF.model_copy(update={"voice": "z"})], CATALOGUE
        )

    assert str(caught.value) == "chef: voice='z' is unknown; choices: a, b"


@pytest.mark.parametrize("voice", ["NATM1", "default", "b"])
def test_known_voices_are_accepted(voice: str) -> None:
    """The persona's own voice in the catalogue, `default` and an offered voice are accepted."""
    personas = [CHEF.model_copy(update={"voice": voice})]

    assert Fleet((worker(voices=("a", "b")),)).check_voices(personas, CATALOGUE) is None


def test_any_voice_passes_where_there_is_no_choice() -> None:
    """A model of one voice accepts any voice's name."""
    personas = [CHEF.model_copy(update={"voice": "z"})]

    assert Fleet((worker(voices=("default",)),)).check_voices(personas, CATALOGUE) is None


async def test_a_worker_is_there_while_its_heartbeat_is(service: Service, redis: Redis) -> None:
    """A worker whose heartbeat is gone is no longer in the fleet."""
    await beat(redis, "one", slots_free=3, slots_used=1)
    await beat(redis, "two", slots_free=2)
    both = await service.workers.fleet()
    await die(redis, "one")
    one = await service.workers.fleet()

    assert (both.slots_free, both.slots_used, len(both.workers)) == (5, 1, 2)
    assert [worker.worker_id for worker in one.workers] == ["two"]


async def test_a_heartbeat_that_cannot_be_read_is_skipped(service: Service, redis: Redis) -> None:
    """A heartbeat that cannot be read is skipped, and the other workers stay."""
    await beat(redis, "good")
    await redis.set(heartbeat_key("broken"), '{"state": "asleep"}')
    await redis.zadd(WORKERS_KEY, {"broken": 1.0})

    assert [each.worker_id for each in (await service.workers.fleet()).workers] == ["good"]
