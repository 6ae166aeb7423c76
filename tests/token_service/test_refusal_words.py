"""The page's words for refusals, in each of its languages."""

import re

import pytest

from protocol.config.settings import PROJECT
from token_service.problems import PROBLEMS

STRINGS = PROJECT / "web/src/strings"
# Codes of requests that the page does not send, or whose detail it shows as the service wrote it.
NOT_THE_PAGES = {
    "aborted",
    "bad_signature",
    "invalid_input",
    "method_not_allowed",
    "no_other_worker",
    "not_listed",
    "guest_unknown",
    "person_unknown",
    "token_unknown",
    "range_beyond",
    "recording_off",
    "recording_unknown",
    "recordings_away",
    "session_runs",
    "too_long",
    "worker_unreached",
}


@pytest.mark.parametrize("language", ["de", "fr"])
def test_each_refusal_has_words(language: str) -> None:
    """Each refusal that the page can meet has a text in each of its languages."""
    words = (STRINGS / f"refusals.{language}.ts").read_text(encoding="utf-8")
    told = set(re.findall(r"^  (\w+):", words, re.MULTILINE))

    assert {each.code for each in PROBLEMS} - told == NOT_THE_PAGES
