"""Build the wheels, look inside them, and use them in empty environments.

    python scripts/check_wheels.py            the core, JAX for a few steps, the examples
    python scripts/check_wheels.py --long     JAX and torch, until each has learned cartpole

Needs `uv` on the PATH. Third-party packages come from wherever uv is configured to find them, or
pip with `--pip`. The distributions of this repository must come from the wheels built here: to
tempt the installer a higher version of each lies beside them, and every installed file is compared.
Where an index offers torch with several GB of CUDA, and a smaller build is at hand, ask for that
one: `--torch torch==VERSION`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheel_contents import OURS, Distribution, foreign, installed, modules, read_wheel, write_decoy

ROOT = Path(__file__).resolve().parents[1]

# What must not be importable where only the core, or only one backend, is installed.
ABSENT = {
    "core": ("torch", "jax", "jaxlib", "flax", "skrl"),
    "jax": ("torch",),
    "torch": ("jax", "jaxlib", "flax"),
}
LEARNED = 950.0  # of 1000: what a trained cartpole returns
FEW_STEPS = ("--num-envs", "64", "--rl.max-env-steps", "4096")
FEW_EPISODES = "8"
SEED = "1"

TIMEOUT = 1800.0  # seconds
OUTPUT_SHOWN = 6000  # characters of a failed command's output
DETAIL_SHOWN = 90  # characters of a line in the table

LOOK_FOR = """
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])
"""
IMPORT_ALL = """
import importlib, json, sys
failures = {}
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except Exception as error:
        # Contract kits run under pytest, which only those who write plugins have.
        if "testing" in name.split(".") and getattr(error, "name", None) == "pytest":
            continue
        failures.setdefault(f"{type(error).__name__}: {error}", []).append(name)
print(json.dumps(failures))
"""


class CheckError(Exception):
    """Something is wrong; the message says what, in full."""


# Commands


def run(
    command: Sequence[str | Path], cwd: Path, expect: int = 0, stdin: str = ""
) -> tuple[str, str]:
    """Run a command as somebody without this repository would; return stdout and stderr.

    Raises:
        CheckError: It exits otherwise than expected, or takes too long.
    """
    words = [str(word) for word in command]
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    env = {k: v for k, v in os.environ.items() if k not in dropped and not k.startswith("MOTRIX_")}
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env | {"PYTHONUTF8": "1"},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"still runs after {TIMEOUT:.0f} s: {spell(words)}") from None
    except OSError as error:
        raise CheckError(f"cannot run {spell(words)}: {error}") from None
    if done.returncode != expect:
        said = (done.stdout + done.stderr)[-OUTPUT_SHOWN:]
        raise CheckError(f"exit code {done.returncode}, not {expect}: {spell(words)}\n{said}")
    return done.stdout, done.stderr


def spell(words: Iterable[str]) -> str:
    """Return a command for people: a program after -c by an ellipsis."""
    return " ".join("…" if "\n" in word else word for word in words)


def parse_json(text: str) -> Any:
    """Return what JSON text says.

    Raises:
        CheckError: It is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise CheckError(f"no JSON, {error}:\n{text[-OUTPUT_SHOWN:]}") from None


def require(holds: bool, otherwise: str) -> None:
    """Raise a CheckError unless a condition holds."""
    if not holds:
        raise CheckError(otherwise)


def require_none(problems: Iterable[str]) -> None:
    """Raise a CheckError that lists problems, if there are any."""
    found = list(problems)
    require(not found, "\n".join(found))


# The report


@dataclass
class Step:
    """One thing that was checked."""

    where: str
    what: str
    detail: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.error

    def row(self) -> tuple[str, ...]:
        """Return its line of the table, in cells."""
        state = "ok" if self.passed else "FAILED"
        detail = self.detail if self.passed else self.error.splitlines()[0]
        if len(detail) > DETAIL_SHOWN:
            detail = detail[: DETAIL_SHOWN - 1] + "…"
        return self.where, self.what, state, f"{self.seconds:7.1f}", detail


@dataclass
class Report:
    """All that was checked."""

    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, where: str, what: str) -> Iterator[Step]:
        """Check something inside the block; a CheckError there is kept and shown, not raised."""
        step = Step(where, what)
        start = time.perf_counter()
        try:
            yield step
        except CheckError as error:
            step.error = str(error) or "no reason given"
        step.seconds = time.perf_counter() - start
        self.steps.append(step)
        state = "ok" if step.passed else f"FAILED\n\n{step.error}\n"
        print(f"{where}: {what}: {state}", flush=True)

    @property
    def passed(self) -> bool:
        """Whether every step passed; nothing checked is nothing passed."""
        return bool(self.steps) and all(step.passed for step in self.steps)

    def table(self) -> str:
        """Return one line for each step."""
        rows = [("WHERE", "WHAT", "RESULT", "SECONDS", ""), *(step.row() for step in self.steps)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        padded = (map(str.ljust, row, widths) for row in rows)
        return "\n".join("  ".join(cells).rstrip() for cells in padded)


# Environments


@dataclass(frozen=True)
class Wheels:
    """The wheels in a folder of work, how to install them, and where to report."""

    folder: Path
    dists: Mapping[str, Distribution]
    report: Report
    options: argparse.Namespace

    @property
    def version(self) -> str:
        """The version that the distributions share, the examples left out."""
        return self.dists["motrix-rl"].version


class Environment:
    """A virtual environment, empty at first, and what is checked in it."""

    def __init__(self, wheels: Wheels, name: str) -> None:
        self.wheels, self.name = wheels, name
        self.folder = wheels.folder / name
        self.folder.mkdir()
        self.bin = self.folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def step(self, what: str) -> AbstractContextManager[Step]:
        """Report a check that is made in here."""
        return self.wheels.report.step(self.name, what)

    def python(self, *arguments: str, stdin: str = "") -> str:
        """Run its Python; return stdout."""
        return run((self.bin / "python", *arguments), self.folder, stdin=stdin)[0]

    def motrix(self, *arguments: str, expect: int = 0) -> tuple[str, str]:
        """Run its command `motrix`; return stdout and stderr."""
        return run((self.bin / "motrix", *arguments), self.folder, expect)

    @property
    def site(self) -> Path:
        """Where its packages lie."""
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return Path(self.python("-c", code).strip())

    @property
    def ours(self) -> list[str]:
        """The distributions of this repository that are installed."""
        return [name for name in installed(self.site) if name.startswith(OURS)]

    def create(self) -> None:
        """Make it."""
        with self.step("create an empty environment") as step:
            options = self.wheels.options
            seed = ("--seed",) if options.pip else ()
            run(("uv", "venv", "--python", options.python, *seed, "venv"), self.folder)
            require(not self.ours, f"not empty: {self.ours}")
            step.detail = self.python("--version").strip()

    def install(self, *requirements: str) -> bool:
        """Install distributions and check where they came from; return whether all is well."""
        with self.step(f"install {requirements[0]}") as step:
            # In a file these places add to those that the user configured.
            places = [(self.wheels.folder / name).as_uri() for name in ("wheels", "decoys")]
            lines = [*(f"--find-links {place}" for place in places), *requirements]
            listed = self.folder / "requirements.txt"
            listed.write_text("\n".join([*lines, ""]), encoding="utf-8")
            python = self.bin / "python"
            if self.wheels.options.pip:
                run((python, "-m", "pip", "install", "-r", listed), self.folder)
            else:
                run(("uv", "pip", "install", "--python", python, "-r", listed), self.folder)
            run(("uv", "pip", "check", "--python", python), self.folder)
            step.detail = f"{len(installed(self.site))} packages in all"
        if not step.passed:
            return False
        with self.step("ours are the wheels built here") as step:
            require_none(foreign(self.site, self.wheels.dists))
            step.detail = ", ".join(self.ours)
        return step.passed

    def lacks(self, *names: str) -> None:
        """Check that packages cannot be imported."""
        with self.step("nothing more is there than asked for") as step:
            there = self.python("-c", LOOK_FOR, *names).strip()
            require(not there, f"importable: {there}")
            step.detail = f"no {', '.join(names)}"

    def imports_all(self) -> None:
        """Check that every module of ours can be imported with what is installed."""
        with self.step("every module can be imported") as step:
            dists = [self.wheels.dists[name] for name in self.ours]
            names = [name for dist in dists for name in modules(read_wheel(dist.wheel))]
            *_, last = self.python("-c", IMPORT_ALL, stdin="\n".join(names)).splitlines()
            failures: dict[str, list[str]] = parse_json(last)
            require_none(
                f"{error}: {', '.join(where)}"
                for error, where in failures.items()
                if not any(wants_an_extra(dist, error, where) for dist in dists)
            )
            step.detail = f"{len(names)} modules"

    def lists(self) -> list[dict[str, Any]]:
        """Check that environments are listed and can be built; return what is listed of them."""
        rows: list[dict[str, Any]] = []
        with self.step("motrix list, and building each") as step:
            shown, _ = self.motrix("list")
            rows = parse_json(self.motrix("list", "--verbose", "--json")[0])
            require(bool(rows), "no environment is listed")
            require(all(row["name"] in shown for row in rows), f"--json lists more than\n{shown}")
            require_none(f"{row['name']}: {row['error']}" for row in rows if "error" in row)
            self.motrix("plugins", "--check")
            step.detail = ", ".join(row["name"] for row in rows)
        return rows

    def trains(self, backend: str, *options: str) -> None:
        """Check that cartpole trains on the only backend there is, and can be evaluated."""
        long = self.wheels.options.long
        with self.step("motrix train cartpole") as step:
            brief: tuple[str, ...] = () if long else (*FEW_STEPS, "--eval-episodes", FEW_EPISODES)
            said, _ = self.motrix("train", "cartpole", "--seed", SEED, *options, *brief)
            step.detail = said.splitlines()[0]
            require(f" on {backend}," in step.detail, f"not trained on {backend}:\n{said}")
        if not step.passed:
            return
        with self.step("motrix eval cartpole --json") as step:
            brief = () if long else ("--episodes", FEW_EPISODES)
            result = parse_json(self.motrix("eval", "cartpole", "--json", *brief)[0])
            step.detail = f"return {result['mean']:.1f} over {result['episodes']} episodes"
            require(math.isfinite(result["mean"]), step.detail)
            learned = not long or result["mean"] >= LEARNED
            require(learned, f"{step.detail}: not learned, which would be {LEARNED:.0f}")


# The checks


def build(folder: Path, report: Report) -> dict[str, Distribution]:
    """Build a wheel and a decoy of every distribution; return these by canonical name."""
    wheels, decoys = folder / "wheels", folder / "decoys"
    wheels.mkdir()
    decoys.mkdir()
    dists = {}
    with report.step("build", "every package and example") as step:
        projects = [p.parent for p in ROOT.glob("*/*/pyproject.toml")]
        for project in sorted(p for p in projects if p.parent.name in ("packages", "examples")):
            dist = Distribution.read(project, wheels)
            run(("uv", "build", "--wheel", "--out-dir", wheels, project), folder)
            require(dist.wheel.is_file(), f"no {dist.wheel.name} came of it")
            write_decoy(decoys, dist.name)
            dists[dist.name] = dist
        require("motrix-rl" in dists, f"no motrix-rl among {sorted(dists)}")
        step.detail = f"{len(dists)} wheels"
    versions = {dist.name: dist.version for dist in dists.values()}
    for dist in dists.values():
        with report.step(dist.name, "look inside the wheel") as step:
            require(dist.wheel.is_file(), "there is none")
            require_none(dist.problems(versions))
            step.detail = f"{len(read_wheel(dist.wheel))} files"
    return dists


def check_core(wheels: Wheels) -> None:
    """Check the core without any framework, then the examples on top of it."""
    core = Environment(wheels, "core")
    core.create()
    if not core.install(f"motrix-rl=={wheels.version}"):
        return
    core.lacks(*ABSENT["core"])
    core.imports_all()
    core.lists()
    with core.step("motrix train says what to install") as step:
        _, said = core.motrix("train", "cartpole", expect=1)
        pin = wheels.version
        hints = [f'pip install "motrix-rl[{name}]=={pin}"' for name in ("torch", "jax")]
        require("Traceback" not in said, said)
        require_none(f"it does not say {hint}:\n{said}" for hint in hints if hint not in said)
        step.detail = " or ".join(hints)
    check_examples(wheels, core)


def check_examples(wheels: Wheels, env: Environment) -> None:
    """Check that the examples are plugins of the packages installed in an environment."""
    examples = [d for d in wheels.dists.values() if d.folder.parent.name == "examples"]
    env.name = "examples"
    if not env.install(*(f"{dist.name}=={dist.version}" for dist in examples)):
        return
    env.imports_all()
    rows = env.lists()
    with env.step("listed with owner and version") as step:
        lines = [line.split() for line in env.motrix("plugins")[0].splitlines()]
        fine = {tuple(words[:3]) for words in lines if words and words[-1] == "ok"}
        brought = {row["name"]: row["owner"] for row in rows}
        for dist in examples:
            owner = f"{dist.name} {dist.version}"
            require(bool(dist.groups), f"{owner} declares no plugin")
            for group in dist.groups:
                listed = (dist.name, dist.version, group) in fine
                require(listed, f"{owner} declares {group}, which `motrix plugins` does not list")
            owns = "motrix.envs" not in dist.groups or owner in brought.values()
            require(owns, f"{owner} declares motrix.envs and owns no environment")
        step.detail = ", ".join(f"{n} of {o}" for n, o in brought.items() if o.startswith("acme-"))
        require(bool(step.detail), "no example brings an environment")
    env.trains("numpy", "--rllib", "acme")


def wants_an_extra(dist: Distribution, error: str, where: Sequence[str]) -> bool:
    """Tell whether modules of an example fail for want of what only an extra of it brings."""
    its_own = all(name.split(".")[0] == dist.package for name in where)
    missing = {f"ModuleNotFoundError: No module named '{name}'" for name in dist.optional}
    return dist.folder.parent.name == "examples" and its_own and error in missing


def check_backend(wheels: Wheels, backend: str, *further: str) -> None:
    """Check one backend in an environment where the other one's framework is absent."""
    env = Environment(wheels, backend)
    env.create()
    if env.install(f"motrix-rl[{backend}]=={wheels.version}", *further):
        env.lacks(*ABSENT[backend])
        env.imports_all()
        env.trains(backend)


def check_all(folder: Path, options: argparse.Namespace) -> Report:
    """Run every check in a folder; return the report."""
    report = Report()
    dists = build(folder, report)
    if not report.steps[0].passed:
        return report
    wheels = Wheels(folder, dists, report, options)
    check_core(wheels)
    check_backend(wheels, "jax")
    if options.long:
        check_backend(wheels, "torch", *([options.torch] if options.torch else []))
    return report


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="a few steps on JAX (the default)")
    form.add_argument("--long", action="store_true", help="JAX and torch, until they learned")
    parser.add_argument("--pip", action="store_true", help="install with pip instead of uv")
    parser.add_argument("--torch", metavar="SPEC", help="which torch, such as torch==2.9.1")
    parser.add_argument(
        "--python", default=sys.executable, help="Python of the environments (default: this one)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder, keep it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check the wheels; return 0, or 1 if anything is wrong."""
    options = parse(argv)
    if not shutil.which("uv"):
        print("this needs uv: python -m pip install uv", file=sys.stderr)
        return 1
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="motrix-wheels-") as folder:
        work = options.keep.resolve() if options.keep else Path(folder).resolve()
        work.mkdir(parents=True, exist_ok=not options.keep)
        report = check_all(work, options)
    failed = sum(not step.passed for step in report.steps)
    verdict = f"{failed} of {len(report.steps)} FAILED" if failed else "everything works"
    print(f"\n{report.table()}\n\n{verdict}, in {time.perf_counter() - start:.0f} s")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
