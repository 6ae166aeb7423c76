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
    """Open a session, ask, print words and states, hang up."""
    async with aiohttp.ClientSession(service, raise_for_status=True) as http:
        session = await (await http.post("/sessions", json={"personas": [persona]})).json()
        async with http.ws_connect(f"/sessions/{session['id']}/audio?format=pcm") as call:
            there = asyncio.Event()
            speaking = asyncio.create_task(speak(call, question, float(seconds), there))
            with wave.open(answer, "wb") as heard:
                heard.setparams((1, 2, 24_000, 0, "NONE", ""))
                async for message in call:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        heard.writeframes(message.data)
                    else:
                        event = json.loads(message.data)
                        print(event["type"], event.get("text") or event.get("state"), flush=True)
                        if event["type"] == "state":  # the persona listens
                            there.set()
            speaking.cancel()
        await http.delete(f"/sessions/{session['id']}")


async def speak(call, question, seconds, there):
    """Send 20 ms every 20 ms once the persona is there, then silence for some seconds."""
    await there.wait()
    with wave.open(question) as asking:
        samples = asking.readframes(asking.getnframes()) + bytes(int(seconds * 24_000) * 2)
    for begin in range(0, len(samples), 960):
        await call.send_bytes(samples[begin : begin + 960])
        await asyncio.sleep(0.02)
    await call.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
