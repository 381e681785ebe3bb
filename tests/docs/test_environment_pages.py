"""Every built-in environment has a page that names what is seen, done and paid."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from motrix_envs import registry

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "environments"
TOOL = runpy.run_path(str(ROOT / "tools" / "write_environments.py"))
PAGES = sorted(FOLDER.glob("*.md"))


def test_the_overview_is_what_the_tool_writes():
    written = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert TOOL["page"]() == written, "run tools/write_environments.py"


@pytest.mark.parametrize("name", TOOL["ids"]())
def test_the_page_has_the_names(name):
    text = TOOL["page_of"](name).read_text(encoding="utf-8")
    env = registry.make(name, num_envs=2, seed=1)
    env.init_state()
    state = env.step(np.zeros((2, *env.action_space.shape)))
    for component, width in env.observation_layout.items():
        assert f"`{component}` ({width})" in text
    assert f"| action | ({env.action_space.shape[0]}): " in text
    for term in state.info["Reward"]:
        assert f"`{term}`" in text
    seconds, rate = f"{env.cfg.ctrl_dt:g}", f"{1 / env.cfg.ctrl_dt:g}"
    assert f"{env.cfg.max_episode_steps} steps of {seconds} s ({rate} Hz" in text
    assert " ".join(env.success_metric.split()) in " ".join(text.split())
    assert f"motrix train {name}`" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
