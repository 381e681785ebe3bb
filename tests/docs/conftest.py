"""A reader who follows a page of the documentation to the letter.

What the reader makes of a fenced block:

- `python`: code; the blocks of a page run in order, in one namespace.
- any language with `title="src/hop.py"`: a file to be written under that name.
- `sh`: commands, one a line; each has to succeed.
- `console`: commands after `$ ` and what they print, where `…` stands for anything.
- `text` and the like: nothing. The errors in troubleshooting.md have a test of their own.

Where the reader is less thorough than a user:

- In `sh` blocks, commands are shortened by the options in SHORTER, unless the page gives the same
  option. Training takes torch where the page leaves the choice, because both would be slow. Some
  commands run in this process, so that the framework is imported once.
- Nothing is installed from an index: of such a line, only the pinned versions are checked. `pip
  install -e .` is done by hand: the entry points of the page's own pyproject.toml become metadata.
- Of the clone, the reader has `examples/deploy.py` alone.
- Where there is no graphics driver, a command that draws may say so.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from motrix_envs import registry as envs
from motrix_envs._plugins import installed_version
from motrix_rl import registry as training
from motrix_rl.cli import main
from motrix_rl.cli.quiet import quiet_plugins

ROOT = Path(__file__).parents[2]

SHORTER = {
    "train": {"--rl.max-env-steps": "1", "--eval-episodes": "8", "--backend": "torch"},
    "eval": {"--episodes": "8"},
    "bench": {"--num-envs": "8", "--seconds": "0.1"},
    "view": {"--seconds": "0.1", "--fps": "20", "--size": "64 48", "--out": "view.gif"},
    "play": {"--seconds": "0.1", "--fps": "20", "--size": "64 48", "--out": "play.gif"},
    "record": {"--seconds": "0.1", "--fps": "20", "--size": "64 48"},
}
IN_THIS_PROCESS = ("train", "eval", "export")
DRAWING = ("view", "play", "record")

LANGUAGES = {"python", "sh", "console", "text", "toml", "xml", "mermaid"}
INSTALLS = re.compile(r"\b(pip|uv) (install|build|sync|run)\b")
OWN_PACKAGE = "pip install -e ."


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is, its text, and the line before it."""

    language: str
    title: str | None
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            language, *_ = (token.info or "text").split()
            title = re.search(r'title="(.+?)"', token.info)
            found.append(Block(language, title and title[1], token.content, token.map[0] + 1))
    return found


@contextlib.contextmanager
def registries_as_they_were() -> Iterator[None]:
    """Give the default registries back what they held, and the modules that they are about."""
    modules = dict(sys.modules)
    registries = (envs.default, training.default)
    saved = [
        {k: copy.copy(v) for k, v in vars(r).items() if isinstance(v, (dict, set, bool))}
        for r in registries
    ]
    try:
        yield
    finally:
        for registry, values in zip(registries, saved, strict=True):
            vars(registry).update(values)
        # A page may have imported a plugin's module again: other classes of the same names.
        sys.modules.update(modules)


class Reader:
    """Follows one page in an empty folder."""

    def __init__(self, page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        self.page, self.folder = page, folder
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self._module = types.ModuleType("page")  # a real one: dataclasses look for their module
        self._registries = contextlib.ExitStack()
        bin_folder = Path(sys.executable).parent
        monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("COLUMNS", "100")
        (folder / "examples").mkdir()
        shutil.copy(ROOT / "examples" / "deploy.py", folder / "examples")
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder)
        self.start_python()

    def start_python(self) -> None:
        """Begin with an interpreter that knows nothing of what the page did before."""
        self.close()
        self._monkeypatch.setitem(sys.modules, "page", self._module)
        self._registries.enter_context(registries_as_they_were())

    def close(self) -> None:
        """Forget what the page registered and imported."""
        self._registries.close()
        for name, module in list(sys.modules.items()):
            if str(self.folder) in str(getattr(module, "__file__", None)):
                del sys.modules[name]

    def follow(self) -> None:
        """Do all that the page says."""
        for block in blocks_of(self.page):
            where = f"{self.page.name}:{block.line}"
            assert block.language in LANGUAGES, f"{where}: who runs {block.language!r}?"
            if block.title:
                file = self.folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                source = "\n" * block.line + block.text  # so that errors name the page's own line
                code = compile(source, str(self.page), "exec", dont_inherit=True)
                exec(code, vars(self._module))
            elif block.language == "sh":
                for line in lines_of(block.text):
                    code, printed = self.run(line)
                    assert code == 0, f"{where}: `{line}` ended with {code}:\n{printed}"
            elif block.language == "console":
                for line, expected in sessions_of(block.text):
                    _, printed = self._process(line)
                    assert matches(expected, printed), f"{where}: `{line}` printed\n{printed}"

    def run(self, line: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed."""
        if line.partition("#")[0].strip() == OWN_PACKAGE:
            self._install_own_package()
            return 0, ""
        if INSTALLS.search(line):
            return len(loose_pins(line)), f"not pinned: {loose_pins(line)}"
        before, motrix, after = re.fullmatch(r"((?:[A-Z_]+=\S+ )*)(motrix )?(.*)", line).groups()
        if not motrix:
            return self._process(line)
        command, *options = shlex.split(after, comments=True)
        for name, value in SHORTER.get(command, {}).items():
            options += [] if name in options else [name, *value.split()]
        if command in IN_THIS_PROCESS and not before:
            return self._here(command, *options)
        code, printed = self._process(f"{before}motrix {shlex.join([command, *options])}")
        no_driver = command in DRAWING and ("Vulkan" in printed or "OSMesa" in printed)
        return (0 if no_driver else code), printed

    def _here(self, *words: str) -> tuple[int, str]:
        try:
            code = main(words)
        except SystemExit as left:  # as tyro does
            code = left.code
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    def _process(self, line: str) -> tuple[int, str]:
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def _install_own_package(self) -> None:
        project = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]
        assert not loose_pins(" ".join(project["dependencies"]))
        name, version, source = project["name"], project["version"], self.folder / "src"
        info = source / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        with (info / "entry_points.txt").open("w") as file:
            for group, hooks in project["entry-points"].items():
                file.writelines([f"[{group}]\n", *(f"{k} = {v}\n" for k, v in hooks.items())])
        self.start_python()
        self._monkeypatch.syspath_prepend(source)
        self._monkeypatch.setenv("PYTHONPATH", str(source))
        with quiet_plugins():
            for registry in (envs.default, training.default):
                registry.refresh()


def lines_of(text: str) -> list[str]:
    """Return the commands of a block, long ones in one piece, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def sessions_of(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console and what each is said to print."""
    parts = re.split(r"^\$ (.+)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def matches(expected: str, printed: str) -> bool:
    """Whether a page tells what was printed: `…` is anything within a line, alone any lines."""
    pattern = "".join(
        r"(.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in squeezed(expected)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in squeezed(printed))) is not None


def squeezed(text: str) -> list[str]:
    """Return the lines that are not empty, with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def loose_pins(text: str) -> list[str]:
    """Return the requirements of ours that are not pinned to this version."""
    pin = f"=={installed_version('motrix-rl')}"
    found = re.findall(r"\b(motrix-[\w-]+(?:\[[\w,]+\])?)(==[\w.]+)?", text)
    return [name for name, pinned in found if pinned != pin]


@pytest.fixture
def follow(tmp_path, monkeypatch, capsys):
    """Return a function that follows a page."""
    readers = []

    def follow(page: Path) -> None:
        readers.append(Reader(page, tmp_path, monkeypatch, capsys))
        readers[-1].follow()

    yield follow
    for reader in readers:
        reader.close()
