"""The desktop viewer: `sdz view`. The only part of the runtime that reaches Qt.

Without Qt: `folder` lists files, `decoding/` turns them into pixels on a thread. With Qt: `canvas` shows pictures (`layer` holds their
pixels, `view` their place in the window, `painting` paints them); `menus`, `panel`, `bars`, `pages` and `dialogs` are around it; `window`
connects all of them (`bridge` brings events from the worker's thread), `app` starts it.
"""
