"""What computes and writes: kept with each settlement, and stated by each evidence pack."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from markets import core

LIBRARIES = ("pyarrow", "reportlab", "xlsxwriter", "numpy")


@cache
def software() -> dict[str, str]:
    """A digest of the code that settles, and the versions of Python and of the libraries that write files."""
    folder = Path(core.__path__[0])
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "name": "headroom",
        "markets_core_sha256": digest.hexdigest(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }
