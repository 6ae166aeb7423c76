"""MCP in a real room: an assistant opens a session, a persona says its lines, a person answers.

By the SDK's own client; the person is a recording, which Whisper recognises.
"""

import asyncio
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from mcp import Client, StdioServerParameters

from harness.person import Person, eventually, joined
from harness.recordings import is_heard_as, recording
from harness.rooms import in_talk
from harness.stack import Stack

PERSONA = "astronaut"  # it does not greet
TOOLS = {"list_personas", "list_voices", "open_session", "end_session", "say", "converse"}
TOOLS |= {"transcript", "events", "status"}


@pytest.fixture
def stack(pocket_with_whisper: Stack) -> Stack:
    """Return the product with the pocket Moshi and Whisper."""
    return pocket_with_whisper


@pytest.fixture(params=["http", "stdio"])
def server(request: pytest.FixtureRequest, stack: Stack) -> str | StdioServerParameters:
    """Return the address of the MCP server, or the command that runs it over stdin."""
    return f"{stack.url}/mcp" if request.param == "http" else over_stdio(stack.url)


def over_stdio(url: str) -> StdioServerParameters:
    """Return the command of an MCP server for the token service at an address."""
    return StdioServerParameters(command=sys.executable, args=["-m", "token_service.mcp", url])


async def result_of(mcp: Client, tool: str, **arguments: Any) -> Any:
    """Call a tool; return its result."""
    result = await mcp.call_tool(tool, arguments, read_timeout_seconds=150)
    assert not result.is_error, result.content[0].text
    content = result.structured_content
    return content["result"] if set(content) == {"result"} else content


async def refusal(mcp: Client, tool: str, **arguments: Any) -> str:
    """Call a tool; return the sentence with which it refuses."""
    result = await mcp.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text.removeprefix(f"Error executing tool {tool}: ")  # the SDK's words


async def guest_token(stack: Stack, link: str) -> dict[str, str]:
    """Return a guest's token, as the page fetches it for a guest link."""
    address = urlsplit(link)
    assert link.startswith(stack.url)
    [bearer] = parse_qs(address.fragment)["guest"]
    headers = {"Authorization": f"Bearer {bearer}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, trust_env=False) as http:
        answer = await http.post("/token", json={"room_name": parse_qs(address.query)["room"][0]})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def answer_once_asked(ann: Person) -> None:
    """Say the recorded sentence once the persona has said its line."""
    who = ann.personas[0].identity
    await eventually(lambda: (who, "speaking") in ann.states, "the persona speaks")
    await eventually(lambda: ann.states[-1] == (who, "listening"), "and has said it")
    ann.speech = recording("opening")


async def test_an_assistant_holds_a_call(stack: Stack) -> None:
    """An assistant opens a session, says a line, reads the answer and ends; refusals are sentences.

    The one of a line that the model cannot say names those that it can.
    """
    await stack.recogniser_is_ready()
    async with Client(over_stdio(stack.url)) as mcp:
        assert {tool.name for tool in (await mcp.list_tools()).tools} == TOOLS
        assert (await result_of(mcp, "status"))["ready"] is True
        personas = {each["name"]: each for each in await result_of(mcp, "list_personas")}
        line = personas[PERSONA]["lines"][0]
        opened = await result_of(mcp, "open_session", personas=[PERSONA])
        session = {"session_id": opened["id"]}
        token = await guest_token(stack, opened["link"])
        async with joined(token["server_url"], token["participant_token"]) as ann:
            await in_talk(ann)
            ann.states.clear()
            asked = asyncio.create_task(result_of(mcp, "converse", text=line, wait_s=60, **session))
            await answer_once_asked(ann)
            conversation = await asked
            cannot = await refusal(mcp, "say", text="Xyzzy plugh.", **session)
            lines = await result_of(mcp, "transcript", **session)
        assert await result_of(mcp, "end_session", **session) == "The session has ended."
        happened = [each["type"] for each in await result_of(mcp, "events", **session)]
        late = await refusal(mcp, "say", text=line, **session)

    assert is_heard_as("opening", conversation["answer"]), conversation
    assert conversation["transcript"][0]["who"] == PERSONA
    whole = [each for each in conversation["transcript"] if each["final"]]  # others grow
    assert lines[: len(whole)] == whole
    assert {"people", "said", "ended"} <= set(happened)
    assert cannot.startswith("text: this model can only say lines that it learned."), cannot
    assert line in cannot, cannot
    assert late == "This session has ended.", late


async def test_the_server_offers_personas_as_resources_and_prompts_for_calls(
    stack: Stack, server: str | StdioServerParameters
) -> None:
    """A persona can be read as a resource; the prompt of a call has its persona and purpose."""
    async with Client(server) as mcp:
        [template] = (await mcp.list_resource_templates()).resource_templates
        [chef] = (await mcp.read_resource("moshi://personas/chef")).contents
        names = {prompt.name for prompt in (await mcp.list_prompts()).prompts}
        arguments = {"persona": "chef", "purpose": "Take an order."}
        prompt = await mcp.get_prompt("phone_call", arguments)
        with pytest.raises(Exception, match="no persona 'nobody'"):
            await mcp.read_resource("moshi://personas/nobody")

    assert template.uri_template == "moshi://personas/{name}"
    assert '"name": "chef"' in chef.text
    assert names == {"phone_call", "call_report"}
    text = prompt.messages[0].content.text
    assert "'chef'" in text and "Take an order." in text


async def test_a_token_service_that_does_not_answer_is_named() -> None:
    """Over stdio a tool refuses with the address of the token service that did not answer."""
    async with Client(over_stdio("http://127.0.0.1:9")) as mcp:
        said = await refusal(mcp, "list_voices")

    assert said == "The token service at http://127.0.0.1:9 does not answer: ConnectError."
