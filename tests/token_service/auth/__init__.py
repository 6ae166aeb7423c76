"""Tests of token_service/auth."""
