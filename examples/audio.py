"""Ask a persona something from a WAV file (24 kHz, mono), without WebRTC; write what it says.

pip install aiohttp==3.14.5
python examples/audio.py http://localhost:8080 question.wav answer.wav chef
"""

import asyncio
import json
import sys
import wave

import aiohttp

TOLD = ("text", "state", "detail", "reason")  # of an event: what is said of it here


async def main(service, question, answer, persona="assistant", seconds="10"):
    """Open a session, ask, print words and states, hang up; return the reason for a refusal."""
    with wave.open(question) as asking:
        if asking.getparams()[:3] != (1, 2, 24_000):
            return f"{question}: expected 24 kHz, mono, 16 bits"
        samples = asking.readframes(asking.getnframes()) + bytes(int(float(seconds) * 24_000) * 2)
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


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
