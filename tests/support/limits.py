"""How long a test waits for what takes seconds on an idle machine."""

HANG_S = 600.0  # twenty tests at a time don't reach it, only a hang does
