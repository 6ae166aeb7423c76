"""Bring the product up: programs, the development launcher, the production files."""
