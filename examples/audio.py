"""Ask a persona something from a WAV file (24 kHz, mono), without WebRTC; write what it says.

pip install aiohttp==3.14.5
python examples/audio.py http://localhost:8080 question.wav answer.wav chef
"""

import argparse
import asyncio
import json
import sys
import wave

import aiohttp

TOLD = ("text", "state", "detail", "reason")  # of an event: what is said of it here


async def main(service, question, answer, persona, seconds):
    """Open a session, ask, print words and states, hang up; return the reason for a refusal."""
    with wave.open(question) as asking:
        if asking.getparams()[:3] != (1, 2, 24_000):
            return f"{question}: expected 24 kHz, mono, 16 bits"
        samples = asking.readframes(asking.getnframes()) + bytes(int(seconds * 24_000) * 2)
    async with aiohttp.ClientSession(service) as http:
        opened = await http.post("/sessions", json={"personas": [persona]})
        session = await opened.json()
        if not opened.ok:
            return session["detail"]
        async with http.ws_connect(f"/sessions/{session['id']}/audio?format=pcm") as call:
            there = asyncio.Event()
            speaking = asyncio.create_task(speak(call, samples, there))
            with wave.open(answer, "wb") as heard:
                heard.setparams((1, 2, 24_000, 0, "NONE", ""))
                async for message in call:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        heard.writeframes(message.data)
                    else:
                        event = json.loads(message.data)
                        print(event["type"], *filter(None, map(event.get, TOLD)), flush=True)
                        if event["type"] == "state":  # the persona listens
                            there.set()
            speaking.cancel()
        await http.delete(f"/sessions/{session['id']}")
    return None


async def speak(call, samples, there):
    """Send 20 ms every 20 ms once the persona is there."""
    await there.wait()
    for begin in range(0, len(samples), 960):
        await call.send_bytes(samples[begin : begin + 960])
        await asyncio.sleep(0.02)
    await call.close()


def options():
    """Read the command line; a wrong one ends the program with a usage line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("service", help="as http://localhost:8080")
    parser.add_argument("question", help="a WAV file of 24 kHz, mono, 16 bits")
    parser.add_argument("answer", help="the WAV file to write")
    parser.add_argument("persona", nargs="?", default="assistant")
    parser.add_argument("seconds", nargs="?", type=float, default=10.0, help="to listen afterwards")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(**vars(options()))))
    except (OSError, EOFError, ValueError, wave.Error, aiohttp.ClientError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
