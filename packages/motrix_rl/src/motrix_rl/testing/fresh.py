"""The part of the kit that runs in a fresh process, as a script.

It imports as little as it can: what a declaration imports is part of what it reports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def outcome_of(task: dict[str, Any], prelude: str, folder: Path) -> dict[str, Any]:
    """Run a task in a fresh process and return what it reports.

    Args:
        task: `place`, `env`, `options` and `env_changes` of a training, as JSON.
        prelude: Python that runs first.
        folder: Where the process may write.

    Returns:
        `target`, the trainer's place as it was declared; `imported`, the modules that looking it
        up took; and `hash`, that of the last checkpoint.
    """
    (folder / "task.json").write_text(
        json.dumps({**task, "prelude": prelude, "folder": str(folder)}), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.returncode == 0, (
        "the backend cannot be trained with in a fresh process; if it is no installed plugin, "
        f"write what declares it into `prelude`:\n{done.stderr[-2000:]}"
    )
    outcome: dict[str, Any] = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    return outcome


def main(folder: Path) -> None:
    """Do the task in a folder."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    exec(compile(task["prelude"], "<prelude>", "exec"), {})
    from motrix_rl import registry

    declared = {record.name: record.target for record in registry.default.backends()}
    imported = sorted(sys.modules)
    place = tuple(task["place"])
    trainer = registry.default.trainer(*place)(
        task["env"],
        cfg_override=task["options"],
        env_cfg_override=task["env_changes"],
        runs_root=folder,
    )
    run = trainer.train()
    manifest = json.loads((run.checkpoint_folder() / "manifest.json").read_text(encoding="utf-8"))
    outcome = {
        "target": declared.get(place, ""),
        "imported": imported,
        "hash": manifest["hash"],
    }
    (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
