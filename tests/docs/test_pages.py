"""Every page of the documentation does what it says; conftest.py tells how it is read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
pytestmark = [pytest.mark.torch, pytest.mark.jax]  # the pages speak of a whole installation
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
# Commands run in processes of their own; JAX, loaded by other tests, warns of every fork.
@pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning")
@by_page
def test_the_page_does_what_it_says(page, follow):
    follow(page)


@by_page
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_readme_names_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in text]


def test_own_modules_are_short():
    text = (ROOT / "docs" / "rl-module.md").read_text(encoding="utf-8")
    for name in ("TinyTorch", "TinyFlax"):
        body = re.search(rf"class {name}\(.*?\n\n\n", text, re.DOTALL).group()
        assert len([line for line in body.splitlines() if line.strip()]) <= 30
