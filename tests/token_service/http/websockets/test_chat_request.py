"""The query of `/api/chat`: the parameters of Moshi's and PersonaPlex's clients, and ours."""

import pytest

from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.sampling import MOST_AUDIO_TOP_K, MOST_TEXT_TOP_K, Sampling
from token_service.http.websockets.chat_request import chosen_persona

ASSISTANT = Persona(
    name="assistant",
    label="Assistant",
    voice="NATF0",
    prompt="You help.",
    greeting="Hello.",
    sampling=Sampling(text_temperature=0.5),
)
CATALOGUE = {
    "assistant": ASSISTANT,
    "chef": Persona(name="chef", label="Chef", voice="NATM1", prompt="You cook.", greeting="Hi."),
}
WEB_CLIENT = {  # as Conversation.tsx of kyutai-labs/moshi and NVIDIA/personaplex builds it
    "worker_auth_id": "id",
    "email": "ann@example.com",
    "text_temperature": "0.7",
    "text_topk": "25",
    "audio_temperature": "0.8",
    "audio_topk": "250",
    "pad_mult": "0",
    "text_seed": "123456",
    "audio_seed": "654321",
    "repetition_penalty_context": "64",
    "repetition_penalty": "1",
}


def chosen(voices: tuple[str, ...] = (), **query: str) -> Persona:
    """Return the persona that a query chooses."""
    return chosen_persona(query, CATALOGUE, "assistant", voices)


def test_moshis_client_gets_the_default_persona() -> None:
    """A query without parameters, as `moshi.client` sends it, means the default persona."""
    assert chosen() == ASSISTANT


def test_a_persona_of_ours_is_chosen_by_name() -> None:
    """`persona` chooses from the catalogue, and other parameters override the persona's fields."""
    assert chosen(persona="chef") == CATALOGUE["chef"]
    changed = chosen(persona="chef", text_prompt="You bake.", voice_prompt="NATF2.pt")
    assert (changed.prompt, changed.voice, changed.greeting) == ("You bake.", "NATF2", "Hi.")


def test_a_prompt_without_a_persona_is_a_persona_of_its_own() -> None:
    """A prompt without `persona` makes a persona without the default persona's greeting."""
    persona = chosen(text_prompt=" <system> You are kind. <system> ", voice_prompt="VARM3.pt")

    assert persona.prompt == "<system> You are kind. <system>"
    assert (persona.voice, persona.greeting) == ("VARM3", "")


def test_sampling_of_the_web_clients_is_taken() -> None:
    """The web clients' sampling parameters are read, and override the persona's own."""
    assert chosen(**WEB_CLIENT).sampling == Sampling(
        text_temperature=0.7, text_top_k=25, audio_temperature=0.8, audio_top_k=250, seed=123456
    )
    assert chosen(seed="7").sampling == Sampling(text_temperature=0.5, seed=7)
    assert chosen(seed="-1").sampling == ASSISTANT.sampling
    assert chosen(seed=str(2**40 + 5)).sampling.seed == 5


def test_a_top_k_beyond_our_limits_is_the_limit() -> None:
    """A top-k beyond our limits becomes the limit."""
    sampling = chosen(text_topk="500", audio_topk="500").sampling
    assert (sampling.text_top_k, sampling.audio_top_k) == (MOST_TEXT_TOP_K, MOST_AUDIO_TOP_K)
    assert chosen(text_topk="0").sampling.text_top_k == 1


def test_nvidias_voices_that_a_fleet_lacks_become_default() -> None:
    """A voice of NVIDIA's that the fleet lacks becomes `default`; another voice's name is kept."""
    assert chosen(("ann",), voice_prompt="NATF2.pt").voice == "default"
    assert chosen(("NATF2",), voice_prompt="NATF2.pt").voice == "NATF2"
    assert chosen(("ann",), voice_prompt="bob.pt").voice == "bob"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"persona": "nobody"}, "choices: assistant, chef"),
        ({"text_prompt": "a" * 1001}, "prompt"),
        ({"voice_prompt": "../../etc/passwd"}, "voice"),
        ({"seed": "seven"}, "seed='seven'"),
        ({"seed": "nan"}, "whole number"),
        ({"text_temperature": "nan"}, "text_temperature"),
        ({"audio_temperature": "3"}, "audio_temperature"),
        ({"text_topk": "inf"}, "whole number"),
        ({"audio_topk": "2.5"}, "audio_topk='2.5': expected a whole number"),
        ({"seed": "1.5"}, "whole number"),
    ],
)
def test_an_invalid_parameter_is_named(query: dict[str, str], said: str) -> None:
    """The refusal of an invalid parameter names it."""
    with pytest.raises(InvalidInput, match=said):
        chosen(**query)
