"""Text of a conversation: phrases, sentences, the transcript, the persona addressed. Pure."""
