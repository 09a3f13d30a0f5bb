"""placeholder"""

from pathlib import Path

APPLICATION_ID = "sdz"
ICON = Path(__file__).parent / "freedesktop" / "sdz.svg"
