"""The language model: its instructions, its streamed answers, its failures."""
