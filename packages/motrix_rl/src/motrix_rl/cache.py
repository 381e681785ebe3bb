"""Where compiled functions are kept between trainings."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

VARIABLE = "MOTRIX_CACHE"


def cache_folder(name: str) -> Path:
    """Return a folder below the user's cache, or below $MOTRIX_CACHE; it may be deleted any time.

    Args:
        name: What it is for.
    """
    root = os.environ.get(VARIABLE)
    return (Path(root) if root else user_cache_path("motrix", appauthor=False)) / name
