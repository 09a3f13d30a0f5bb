"""Every limit of the format, of packs and of this runtime, each with its reason.

FORMAT.md lists the same numbers, `web/limits.js` holds them for JavaScript, and a test compares the three.
"""

from __future__ import annotations

from typing import Final

MAX_SIDE: Final = 16_384
"""Largest width or height in pixels: what WebP allows, and within the canvas sizes of every current browser."""

MAX_STEP_INDEX: Final = 80
"""Coarsest step: 2**(80/8) = 1,024 grey levels, beyond which an orthonormal 16x16 transform keeps little but its means."""

MAX_TILT: Final = 3
"""Eighths of an octave by which steps become finer or coarser for every octave of frequency: with three the highest frequencies have steps
of half the size of the lowest."""

MAX_OCTAVE: Final = 64
"""Sixteenths of an octave that a pack may place a channel above or below the frequency whose step is the file's: four octaves, more than
blocks of 32 pixels have on either side."""

NETWORKS_COARSEST: Final = 88
"""Mean precision code up to which networks run: intervals of 2,048 grey levels. A picture of a few dozen bytes gives them too little
to work from, and no training showed them any: they would cover it with a pattern."""

FULL_STRENGTH: Final = 16
"""A denoiser's moves are made in sixteenths of what it asks for: sixteen are all of them."""

MAX_PLANES: Final = 15
"""Bit-planes per file. Latents then stay below 2**15, so that integers times steps fit 32 bits with room to spare."""

MAX_VARINT_BYTES: Final = 5
"""A varint holds at most 32 bits: 5 groups of 7."""

MAX_CHUNKS: Final = 64
"""Chunks of a file: a dozen times the kinds there are. Each costs a reader some work however short it is; an empty one has 6 bytes."""

MAX_ALT_BYTES: Final = 4_096
"""Alternative text, UTF-8: several times the longest that accessibility guides advise."""

MAX_EXIF_BYTES: Final = 65_536
"""What a JPEG's APP1 segment can hold, so that any EXIF block from a camera fits."""

MAX_PIXELS: Final = 1 << 27
"""Pixels this runtime encodes or decodes in one call (16,384 x 8,192): a file of a few bytes must not demand more than about
2 GB. Not a limit of the format: `parse` accepts such a file."""

MAX_LATENTS: Final = 1 << 27
"""Latents that this runtime encodes or decodes in one call, positions times channels, and upper functions where a file has them: two bytes
of each are 268 MB at most. All of MAX_PIXELS without upper functions, 44 megapixels with the default pack's 768 functions."""

MAX_CHANNELS: Final = 255
"""Channels of a pack: a byte holds their number in its coder's tables."""

MAX_L1_LIMIT: Final = 1 << 24
"""GRID units at a position that a pack may allow: the exact integers of float32, by which its networks compute."""

MAX_LINEAR_SHIFT: Final = 20
"""Binary places of a pack's linear table: more than int16 weights of an orthonormal transform can use."""

MAX_HALO: Final = 64
"""Latent positions of a network's receptive field: a wider one than a tile would make tiles useless."""

MAX_PACK_FILE_BYTES: Final = 1 << 30
"""Bytes of one file of a pack: what a browser can hold in one piece."""

MAX_NAME: Final = 100
"""Characters of a pack's name, and of its files' names: well within what every file system takes."""

MAX_MANIFEST_BYTES: Final = 1 << 20
"""Bytes of a pack's manifest: hundreds of times its size, so that a wrong file is refused before it is parsed."""
