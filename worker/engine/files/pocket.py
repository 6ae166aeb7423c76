"""The pocket Moshi: a small trained model that is shipped with the product, for any CPU.

A folder in exactly the real format, made by `training/`; docs/pocket.md has its card.
"""

from pathlib import Path

NAME = "pocket"
FOLDER = Path(__file__).resolve().parents[3] / "models" / NAME
NOTE = (
    "The pocket Moshi is a demonstration that runs on any CPU: it hears when you speak, for how "
    "long and how loud, but does not understand words; it answers with what it learned to say."
)
