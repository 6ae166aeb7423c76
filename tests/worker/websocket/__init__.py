"""Tests of worker/websocket, and of other projects' clients that speak its protocol."""
