"""The lines that the pocket Moshi learns, by the catalogue's personas."""

from math import log2

from protocol.config.settings import Settings
from training.repertoire import PERSONA_VOICES, PERSONAS, VOICES, Use, lines, voices_of


def test_every_persona_of_the_catalogue_says_a_dozen_lines_of_its_own() -> None:
    """Each shipped persona has twelve lines of its own, and no other persona has any."""
    counts = {name: sum(map(len, uses.values())) for name, uses in PERSONAS.items()}
    shipped = {path.stem for path in Settings().personas_dir.glob("*.toml")}
    assert counts == dict.fromkeys(shipped, 12)


def test_all_lines_differ() -> None:
    """No text occurs twice, so that a recogniser can tell which line it heard."""
    texts = [line.text for line in lines()]
    assert len(texts) == len(set(texts)) >= 60


def test_voices_are_different_speakers_with_melody() -> None:
    """No two voices are the same speaker; each has four pitches over six semitones or more."""
    assert len({voice.style for voice in VOICES.values()}) == len(VOICES)
    for voice in VOICES.values():
        assert len(voice.pulses) == 4
        assert 12 * log2(voice.pulses[-1] / voice.pulses[0]) > 6


def test_common_lines_are_said_in_all_voices() -> None:
    """Common lines are said in all voices, a persona's own lines in its own voice."""
    for line in lines():
        voices = set(voices_of(line))
        assert voices == ({PERSONA_VOICES[line.persona]} if line.persona else set(VOICES))


def test_there_are_common_lines_for_every_use() -> None:
    """Each use has at least one line that is common to all personas."""
    assert {line.use for line in lines() if not line.persona} == set(Use)
