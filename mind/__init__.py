"""Minds: they answer beside a voice, by fixed lines or by a language model with tools.

A mind reads what is said in a room and gives sentences for a persona's voice to say. It knows the
protocol alone: no LiveKit, no torch, no redis. A process has one `MindThread`, with a thread and
event loop of its own, so that no answer delays a frame. `open_room` gives a room's mind: what its
host may `call` is in `mind.room`, what it gets is in `mind.events`.
"""
