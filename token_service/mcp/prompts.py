"""Prompts for an assistant that speaks with people through a persona."""

from typing import Annotated

from mcp.server import MCPServer
from pydantic import Field

CALL = """Hold a call with a person through the persona {persona!r}. Its purpose: {purpose}

1. Call `open_session` with this persona and give me the link for the person.
2. Look at `events` until a person has joined, then begin with `converse`: greet, and say that an
   AI speaks.
3. Go on with `converse`, one or two short sentences at a time, as people speak on the phone. If
   the answer is empty, ask once more; after a second silence, say goodbye.
4. Say goodbye with `say`, wait until it was said, call `end_session`, and sum up what the person
   told you, from `transcript`. Write down nothing that was not said."""
REPORT = """Read the `transcript` of the session {session_id} and sum up: what the person wanted,
what was agreed, what is open. Quote the person's own words where they matter."""


def add_prompts(server: MCPServer) -> None:
    @server.prompt()
    def phone_call(
        purpose: Annotated[str, Field(description="What the call is for.")],
        persona: Annotated[str, Field(description="A name of `list_personas`.")] = "assistant",
    ) -> str:
        """Hold a call with a person, and report."""
        return CALL.format(persona=persona, purpose=purpose)

    @server.prompt()
    def call_report(
        session_id: Annotated[str, Field(description="The session of the call.")],
    ) -> str:
        """Sum up a call."""
        return REPORT.format(session_id=session_id)
