"""How the pocket Moshi is made, from nothing: speech, codec, language model, report.

Installed by nobody but those who train: `make pocket`. Imports the worker's engine for formats and
prompts; nothing imports it. Everything that is stored lies in a folder outside git.
"""
