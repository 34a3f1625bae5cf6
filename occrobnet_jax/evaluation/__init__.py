"""Metrics, the loop that gathers what they need, and the report on them."""
