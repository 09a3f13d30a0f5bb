"""A small Starlette application that serves built sites with the right headers. It may read `runtime`, never `export`."""
