"""Tests of token_service/server."""
