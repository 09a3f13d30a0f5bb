"""The desktop viewer: `sdz view`. The only part of the runtime that reaches Qt.

`folder` walks files, `worker` decodes on a thread (both without Qt), `canvas` paints, `panel`, `bars` and `pages` are what stands around
the picture, `window` puts them together and `app` starts it.
"""
