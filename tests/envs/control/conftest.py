"""Lets the tests of this folder import `dm_originals`, and leaves out what needs dm_control."""

import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))

if find_spec("dm_control") is None:
    collect_ignore = ["test_models.py", "test_tasks.py"]
