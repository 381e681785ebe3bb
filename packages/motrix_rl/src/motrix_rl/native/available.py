"""Whether machine code can be had."""

from __future__ import annotations

import importlib.util
import os

VARIABLE = "MOTRIX_NATIVE"


def is_available() -> bool:
    """Tell whether there is a compiler, and nobody switched it off by `MOTRIX_NATIVE=0`.

    Nothing is imported for the answer.
    """
    return os.environ.get(VARIABLE) != "0" and importlib.util.find_spec("llvmlite") is not None
