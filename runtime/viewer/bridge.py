"""The way of the worker's events to the window: from the decoding thread to Qt's."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from .decoding.messages import Event, Exported, Painted
from .layer import to_image


class Bridge(QObject):
    """Emits `happened` with each event and the QImage of its pixels, if it has any, in the window's thread."""

    happened = Signal(object, object)

    def tell(self, event: Event) -> None:
        """Called on the worker's thread, so that converting pixels to an image does not block the window."""
        pixels = event.pixels if isinstance(event, Painted | Exported) else None
        try:
            self.happened.emit(event, None if pixels is None else to_image(pixels))
        except RuntimeError:
            # the window has been closed during this step
            return
