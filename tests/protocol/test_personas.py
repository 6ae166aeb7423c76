"""The catalogue of personas: its files, and which are refused."""

import re
from pathlib import Path

import pytest

from protocol.config.settings import PROJECT, Settings
from protocol.errors import InvalidInput
from protocol.personas import GREETING, Persona, load_catalogue

GUIDE = Persona(name="guide", label="Guide")


def write(folder: Path, **files: str) -> Path:
    """Write persona files into a folder; return it."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_a_file_is_a_persona(tmp_path: Path) -> None:
    """A TOML file is a persona of the file's name; other files are ignored."""
    write(tmp_path, guide='label = "Guide"', chef='label = "Chef"\n[sampling]\nseed = 7\n')
    (tmp_path / "notes.txt").write_text("x")
    catalogue = load_catalogue(tmp_path)

    assert list(catalogue) == ["chef", "guide"]
    assert catalogue["guide"] == GUIDE
    assert catalogue["chef"].sampling.seed == 7


@pytest.mark.parametrize(
    ("greeting", "line"),
    [("true", GREETING), ("false", ""), ('" Good evening. "', "Good evening.")],
)
def test_a_greeting_is_a_sentence_or_the_usual_one(
    tmp_path: Path, greeting: str, line: str
) -> None:
    """`true` means the usual greeting, `false` none, and a text is the greeting."""
    write(tmp_path, chef=f'label = "Chef"\ngreeting = {greeting}\n')

    assert load_catalogue(tmp_path)["chef"].greeting == line


def test_every_shipped_persona_has_questions_to_ask() -> None:
    """Every persona of the project has three examples."""
    shipped = load_catalogue(Settings().personas_dir)

    assert {len(persona.examples) for persona in shipped.values()} == {3}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("chef", "label", "chef.toml: not TOML: "),
        ("chef", 'label = ""', "chef.toml: label='': "),
        ("chef", 'label = "C"\nexamples = ["?", ""]', "chef.toml: examples.1='': "),
        ("chef", 'label = "C"\nmood = 1', "chef.toml: mood=1: no such field; choices: label, line"),
        ("chef", 'label = "C"\nname = "x"', "chef.toml: 'name' is the file's own name, leave"),
        (
            "Chef",
            'label = "C"',
            "Chef.toml: name='Chef': expected a lowercase letter, then",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    """A persona file that cannot be used is refused with its name and the field."""
    with pytest.raises(InvalidInput) as caught:
        load_catalogue(write(tmp_path, **{name: text}))

    assert str(caught.value).startswith(reason)


def test_a_refused_prompt_is_not_shown(tmp_path: Path) -> None:
    """The refusal of a persona file names the prompt's fault and shows no word of the prompt."""
    prompt = "Our margin is 40 %. " * 60
    with pytest.raises(InvalidInput, match=r"^chef\.toml: prompt: .* 1000 characters$") as caught:
        load_catalogue(write(tmp_path, chef=f'label = "Chef"\nprompt = "{prompt}"'))

    assert "margin" not in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    """A persona file that is not UTF-8 is refused with its name."""
    (tmp_path / "chef.toml").write_bytes('label = "Küche"'.encode("latin-1"))

    with pytest.raises(InvalidInput) as caught:
        load_catalogue(tmp_path)

    assert str(caught.value).startswith("chef.toml: not TOML: ")


def test_a_folder_without_personas_is_refused(tmp_path: Path) -> None:
    """A folder without persona files is refused."""
    with pytest.raises(InvalidInput) as caught:
        load_catalogue(tmp_path)

    assert str(caught.value).endswith(" holds no persona (expected *.toml files)")


def test_a_personas_dir_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    """A PERSONAS_DIR that is no folder is refused."""
    with pytest.raises(InvalidInput) as caught:
        load_catalogue(tmp_path / "nowhere")

    assert str(caught.value).startswith("PERSONAS_DIR=")


def test_the_projects_own_catalogue_is_read() -> None:
    """The project's own catalogue has its five personas."""
    catalogue = load_catalogue(Path(__file__).parents[2] / "personas")

    assert {"assistant", "astronaut", "chef", "customer_service", "teacher"} <= catalogue.keys()


def test_each_field_of_a_file_is_documented() -> None:
    """docs/personas.md tells what each field of a persona's file is."""
    table = (PROJECT / "docs" / "personas.md").read_text(encoding="utf-8")

    assert {"name", *re.findall(r"^\| `(\w+)` \|", table, re.M)} == Persona.model_fields.keys()


def test_a_personas_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """A persona's file may begin with the mark that some editors write, mind and all."""
    mind = '[mind]\nkind = "chat"\n'
    (tmp_path / "chef.toml").write_bytes(b'\xef\xbb\xbflabel = "Chef"\r\n' + mind.encode())

    assert load_catalogue(tmp_path)["chef"].mind == "chef"


def test_a_personas_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A persona's file that is a folder, or a link that leads nowhere, is refused by its name."""
    (tmp_path / "chef.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(InvalidInput, match=r"^chef\.toml: No such file or directory; expected"):
        load_catalogue(tmp_path)


def test_a_mind_of_another_persona_is_left_out_where_it_suits_no_model(tmp_path: Path) -> None:
    """A persona with another's mind has none where that one's `model` is not the worker's."""
    mind = '[mind]\nkind = "chat"\nmodel = "pocket"\n'
    write(tmp_path, chef=f'label = "Chef"\n{mind}', waiter='label = "Waiter"\nmind = "chef"\n')

    for model, expected in (("pocket", "chef"), ("echo", "")):
        minds = [each.mind for each in load_catalogue(tmp_path, model).values()]
        assert minds == [expected, expected]


def test_a_persona_that_names_itself_as_its_mind_is_refused(tmp_path: Path) -> None:
    """A mind that is the persona's own name, without a table, is refused: there is none to ask."""
    write(tmp_path, chef='label = "Chef"\nmind = "chef"\n')
    with pytest.raises(InvalidInput, match=r"^chef\.toml: mind='chef' is its own name; expected"):
        load_catalogue(tmp_path)
