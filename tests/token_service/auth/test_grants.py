"""The exact content of a participant's token."""

from typing import Any

import jwt
import pytest

from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from token_service.auth.grants import participant_token
from token_service.http.token_request import TokenRequest


@pytest.fixture
def settings(settings_for: SettingsFor) -> Settings:
    """Return settings that name no running server."""
    return settings_for(token_ttl_s=600)


def claims(request: TokenRequest, settings: Settings) -> dict[str, Any]:
    """Return the claims of a participant's token after a check of its signature."""
    secret = settings.livekit_api_secret.get_secret_value()
    return jwt.decode(
        participant_token(request.person(), "t1", settings), secret, algorithms=["HS256"]
    )


def test_a_token_grants_one_room_and_nothing_more(settings: Settings) -> None:
    """A token holds what the request named and a person's permissions; no room_config, no kind."""
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
    """A token is valid for TOKEN_TTL_S."""
    said = claims(TokenRequest(), settings)

    assert said["exp"] - said["nbf"] in (600, 601)  # 601: a second began between two readings
