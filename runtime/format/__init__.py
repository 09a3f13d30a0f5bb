"""What FORMAT.md specifies: bytes and the integers they stand for."""
