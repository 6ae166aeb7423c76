"""How the pocket Moshi is made from nothing: speech, codec, language model, report.

Only people who train it install this: `make pocket`. It imports the worker's engine for formats
and prompts; no product code imports it. All that it stores lies in a folder outside git.
"""
