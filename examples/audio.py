"""Ask a persona something from a WAV file (24 kHz, mono), without WebRTC; write what it says.

pip install aiohttp==3.14.5
python examples/audio.py http://localhost:8080 question.wav answer.wav chef
"""

import asyncio
import json
import sys
import wave

import aiohttp


async def main(service, question, answer, persona="assistant", seconds="10"):
    """Open a session, speak as fast as speech, print words and states, hang up."""
    async with aiohttp.ClientSession(service, raise_for_status=True) as http:
        session = await (await http.post("/sessions", json={"personas": [persona]})).json()
        async with http.ws_connect(f"/sessions/{session['id']}/audio?format=pcm") as call:
            speaking = asyncio.create_task(speak(call, question, float(seconds)))
            with wave.open(answer, "wb") as heard:
                heard.setparams((1, 2, 24_000, 0, "NONE", ""))
                async for message in call:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        heard.writeframes(message.data)
                    else:
                        event = json.loads(message.data)
                        print(event["type"], event.get("text") or event.get("state"), flush=True)
            await speaking
        await http.delete(f"/sessions/{session['id']}")


async def speak(call, question, seconds):
    """Send 20 ms every 20 ms, then silence for some seconds."""
    with wave.open(question) as asking:
        samples = asking.readframes(asking.getnframes()) + bytes(int(seconds * 24_000) * 2)
    for begin in range(0, len(samples), 960):
        await call.send_bytes(samples[begin : begin + 960])
        await asyncio.sleep(0.02)
    await call.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
