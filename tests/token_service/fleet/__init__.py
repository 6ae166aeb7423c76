"""Tests of token_service/fleet."""
