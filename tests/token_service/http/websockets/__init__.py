"""Tests of token_service/http/websockets."""
