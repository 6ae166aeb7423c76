"""Minds: they answer beside a voice, by fixed lines or by a language model with tools.

A mind reads what is said in a room and gives sentences for a persona's voice to say. It knows the
protocol alone: no LiveKit, no torch, no redis.

How a worker uses it:

- One `MindThread` a process, with the `Minds` of all rooms: a thread and event loop of their own,
  so that no answer of a model delays a frame, and rooms share connections.
- One room: `mind = minds.open_room(spec.personas, on_event)`. `on_event` is called on the minds'
  thread; the host passes it on with `loop.call_soon_threadsafe`.

What the host calls by `call(RoomMind.…)`, each without waiting:

- `set_personas(spec.personas)` when they change, in the room's order;
- `heard(name, words, final=…)` for each text of a person's segment, the interim ones too: they
  withdraw what is not yet said. `typed(name, line, identity)` for each line on `lk.chat`;
- `persona_said(persona_id, words)` for each final segment of a persona, told or not;
- `floor_changed(persona_id or None)`;
- `recall(events, names)` where another host had the room before; `forget(persona_id)`;
- `line_ended(line_id, "said" | "cut_off" | "refused")` exactly once for each `Say` that was not
  withdrawn before it began. The next sentence waits for it;
- `close()` when the room ends. Events that are under way may still come.

What the host handles (`mind.events`):

- `Say`: put the sentence into the persona's lines (`worker.room.persona.lines`), publish
  `mind_said`;
- `Withdraw`: drop these lines where they have not begun, and report none of them;
- `ToolStarted`, `ToolEnded`: publish; `Trouble`: publish as a warning;
- `Unanswered`: tell the person who typed that the voice cannot read;
- `LeftToVoice`: no fixed line answers, so a voice that waited for one goes on.

Which mind answers for a persona is a name; only the operator's files define minds
(`protocol.minds`).
"""
