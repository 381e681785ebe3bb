"""docs/rl-module.md runs as it is printed."""

import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.jax]

PAGE = Path(__file__).parents[2] / "docs" / "rl-module.md"


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    names = {"__name__": "docs_rl_module"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_own_modules_are_short():
    text = PAGE.read_text(encoding="utf-8")
    for name in ("TinyTorch", "TinyFlax"):
        body = re.search(rf"class {name}\(.*?\n\n\n", text, re.DOTALL).group()
        assert len([line for line in body.splitlines() if line.strip()]) <= 30
