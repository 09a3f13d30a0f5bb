"""A second reader of FORMAT.md: slow, in plain Python, to hold the core to."""
