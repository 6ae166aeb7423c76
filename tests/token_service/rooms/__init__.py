"""Tests of token_service/rooms."""
