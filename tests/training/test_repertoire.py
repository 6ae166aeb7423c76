"""The lines that the pocket Moshi learns: enough of them, by the catalogue's personas."""

from math import log2

from protocol.config.settings import Settings
from training.repertoire import PERSONA_VOICES, PERSONAS, VOICES, Use, lines, voices_of


def test_every_persona_of_the_catalogue_says_a_dozen_lines_of_its_own() -> None:
    """Each persona that is shipped has twelve lines, and there are no lines of anybody else."""
    counts = {name: sum(map(len, uses.values())) for name, uses in PERSONAS.items()}
    shipped = {path.stem for path in Settings().personas_dir.glob("*.toml")}
    assert counts == dict.fromkeys(shipped, 12)


def test_no_line_is_said_twice() -> None:
    """A recogniser can tell which line it heard: all texts differ."""
    texts = [line.text for line in lines()]
    assert len(texts) == len(set(texts)) >= 60


def test_voices_are_different_speakers_with_melody() -> None:
    """No two voices are the same speaker; each has four pitches, together six semitones wide."""
    assert len({voice.style for voice in VOICES.values()}) == len(VOICES)
    for voice in VOICES.values():
        assert len(voice.pulses) == 4
        assert 12 * log2(voice.pulses[-1] / voice.pulses[0]) > 6


def test_every_voice_says_what_everybody_says() -> None:
    """Greetings and back-channels are there in all voices, a persona's own lines in its own."""
    for line in lines():
        voices = set(voices_of(line))
        assert voices == ({PERSONA_VOICES[line.persona]} if line.persona else set(VOICES))


def test_everybody_has_a_line_for_every_occasion() -> None:
    """Whatever was heard, there is something to say."""
    assert {line.use for line in lines() if not line.persona} == set(Use)
