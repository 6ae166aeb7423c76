"""Tests of worker/websocket, and of the clients of others that speak its protocol."""
