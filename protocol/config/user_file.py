"""Reads the user's file of settings, and refuses what would be read as no setting."""

from difflib import get_close_matches
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from protocol.errors import InvalidInput
from protocol.toml_file import read_toml


def home() -> Path:
    """Return the user's folder; a container's user may have none and be unknown."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


class UserFile(TomlConfigSettingsSource):
    """The settings of a TOML file. As in the environment, an empty text means the default."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        """Read the file that `settings_cls` names. Raises `InvalidInput`."""
        self._known = settings_cls.model_fields
        super().__init__(settings_cls)

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        fields = read_toml(Path(str(file_path)), str(file_path))
        for name in fields:
            if name.lower() not in self._known:
                near = "".join(get_close_matches(name.lower(), self._known, 1))
                hint = f"; did you mean {near}?" if near else ""
                raise InvalidInput(f"{file_path}: {name} is no setting{hint}")
        return {name: value for name, value in fields.items() if value != ""}
