"""Write docs/environments/README.md: every built-in environment in one line.

uv run --all-packages tools/write_environments.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from motrix_envs.np.env import NpEnv
from motrix_envs.registry import default

FOLDER = Path(__file__).parents[1] / "docs" / "environments"
PAGE = FOLDER / "README.md"

HEAD = """\
# The environments

What Motrix brings along; written by `tools/write_environments.py` from the code. Observation and
action are counts of numbers. [environments.md](../environments.md) makes one of your own.

| environment | task | observation | action | control | steps |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the text of docs/environments/README.md."""
    return HEAD + "".join(map(row, ids()))


def ids() -> list[str]:
    """Return the ids that the package itself brings."""
    return [record.name for record in default.envs() if record.owner.name == "motrix-envs"]


def row(name: str) -> str:
    """Return the row of an environment."""
    env = default.make(name)
    cells = [
        f"[{name}]({page_of(name).name})",
        task(env),
        env.observation_space.shape[0],
        env.action_space.shape[0],
        f"{1 / env.cfg.ctrl_dt:g} Hz",
        env.cfg.max_episode_steps,
    ]
    env.close()
    return f"| {' | '.join(map(str, cells))} |\n"


def task(env: NpEnv) -> str:
    """Return what an environment's module says first, without its title."""
    first, *_ = (sys.modules[type(env).__module__].__doc__ or "").partition("\n")
    words = first.partition(": ")[2].rstrip(".")
    return words[0].upper() + words[1:]


def page_of(name: str) -> Path:
    """Return the page whose title has the name: tasks of one robot share a page."""
    return next(path for path, names in pages() if name in names)


def pages() -> Iterator[tuple[Path, list[str]]]:
    """Yield every page with the names in its title."""
    for path in sorted(FOLDER.glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0]
        yield path, title.removeprefix("# ").split(", ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
