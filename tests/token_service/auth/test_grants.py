"""The JWT's exact content."""

from typing import Any

import jwt
import pytest

from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from token_service.auth.grants import participant_token
from token_service.http.token_request import TokenRequest


@pytest.fixture
def settings(settings_for: SettingsFor) -> Settings:
    """Settings of no server."""
    return settings_for(token_ttl_s=600)


def claims(request: TokenRequest, settings: Settings) -> dict[str, Any]:
    """What the token says, its signature checked."""
    secret = settings.livekit_api_secret.get_secret_value()
    return jwt.decode(
        participant_token(request.person(), "t1", settings), secret, algorithms=["HS256"]
    )


def test_a_token_grants_one_room_and_nothing_more(settings: Settings) -> None:
    """A token holds exactly what the person asked for and may do; no room_config, no kind."""
    request = TokenRequest(
        room_name="kitchen",
        participant_identity="ann",
        participant_name="Ann",
        participant_metadata="{}",
        participant_attributes={"seat": "3"},
    )

    said = claims(request, settings)

    assert said == {
        "iss": "devkey",
        "sub": "ann",
        "name": "Ann",
        "metadata": "{}",
        "attributes": {"seat": "3", "token_id": "t1"},
        "jti": "t1",
        "nbf": said["nbf"],
        "exp": said["exp"],
        "video": {
            "roomJoin": True,
            "room": "kitchen",
            "canPublish": True,
            "canPublishSources": ["microphone", "screen_share_audio", "unknown"],
            "canSubscribe": True,
            "canPublishData": True,
            "canUpdateOwnMetadata": False,
        },
    }


def test_a_token_lives_as_long_as_set(settings: Settings) -> None:
    """A token is good from now on for TOKEN_TTL_S; the second may turn between the two reads."""
    said = claims(TokenRequest(), settings)

    assert said["exp"] - said["nbf"] in (600, 601)
