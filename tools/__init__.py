"""Instruments: each is run as python -m tools.NAME, and nothing in production imports them."""
