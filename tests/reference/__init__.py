"""A second decoder, in plain Python, written from FORMAT.md alone: slow, small, and what the core is held to. It imports nothing of sdz."""
