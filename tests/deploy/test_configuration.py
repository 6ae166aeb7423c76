"""The documents that are made from the settings."""

import pytest

from deploy import configuration
from protocol.settings import Settings


@pytest.mark.parametrize("name", ["README.md", ".env.example"])
def test_documents_say_what_the_settings_say(name: str) -> None:
    """README and .env.example are current; `make configuration` makes them so."""
    texts = {path.name: (path.read_text(), text) for path, text in configuration.documents()}
    written, due = texts[name]

    assert due == written


def test_every_setting_says_what_it_means() -> None:
    """No setting without a sentence."""
    silent = [name for name, field in Settings.model_fields.items() if not field.description]

    assert silent == []
