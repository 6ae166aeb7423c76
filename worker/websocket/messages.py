"""Messages of Moshi's WebSocket protocol: a byte for the kind, then the payload. Pure.

Sources: kyutai-labs/moshi rust/protocol.md, moshi 0.2.13 server.py, NVIDIA/personaplex server.py.
"""

HANDSHAKE = b"\x00"  # from the server, once the persona hears
AUDIO = b"\x01"  # pages of Ogg/Opus, 24 kHz mono, both ways
TEXT = b"\x02"  # UTF-8, from the server
# Known to protocol.md and without effect in all three servers: control, metadata, error, ping.


class BadMessage(ValueError):
    """A message that the protocol does not have; the text is for the client."""
