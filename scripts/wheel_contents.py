"""What the wheels of this repository hold, and what an environment holds of them.

Functions that only look; `check_wheels.py` builds, installs and reports.
"""

from __future__ import annotations

import email
import re
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

OURS = ("motrix-", "acme-")


@dataclass(frozen=True)
class Distribution:
    """One project of this repository and the wheel that is built from it."""

    folder: Path
    project: Mapping[str, Any]
    wheel: Path

    @classmethod
    def read(cls, folder: Path, wheels: Path) -> Distribution:
        """Return the project in a folder, whose wheel lies or will lie among others."""
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        stem = f"{canonical(project['name']).replace('-', '_')}-{project['version']}"
        return cls(folder, project, wheels / f"{stem}-py3-none-any.whl")

    @property
    def name(self) -> str:
        """Its canonical name."""
        return canonical(self.project["name"])

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.project["version"])

    @property
    def groups(self) -> set[str]:
        """The groups of our plugins in which it declares entry points."""
        return set(filter(is_plugin, self.project.get("entry-points", {})))

    @property
    def optional(self) -> set[str]:
        """Import names of what only its extras bring."""
        extras = self.project.get("optional-dependencies", {}).values()
        names = [re.match(r"[\w.-]+", line) for extra in extras for line in extra]
        return {canonical(name[0]).replace("-", "_") for name in names if name} - {self.package}

    @property
    def package(self) -> str:
        """Its import name."""
        return self.name.replace("-", "_")

    def problems(self, versions: Mapping[str, str]) -> list[str]:
        """Return what is wrong with its wheel.

        Args:
            versions: Versions of all distributions built here, by canonical name.
        """
        files = read_wheel(self.wheel)
        metadata = email.message_from_string(dist_info(files, "METADATA"))
        requirements = metadata.get_all("Requires-Dist", [])
        return [
            *wrong_files(files, self.folder / "src"),
            *wrong_metadata(metadata, self.project),
            *loose_pins(requirements, versions, self.name),
            *wrong_entry_points(files, self.project),
            *wrong_licence(files, metadata),
        ]


def canonical(name: str) -> str:
    """Return a distribution's name as PEP 503 compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_plugin(group: str) -> bool:
    """Tell whether an entry-point group is one of ours."""
    return group.startswith("motrix.")


# Wheels


def read_wheel(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by their paths inside."""
    with zipfile.ZipFile(wheel) as archive:
        return {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")}


def dist_info(files: Mapping[str, bytes], name: str) -> str:
    """Return a file of a wheel's dist-info folder, empty if it holds none of this name."""
    pattern = re.compile(rf"[^/]+\.dist-info/{re.escape(name)}")
    return next((text.decode() for path, text in files.items() if pattern.fullmatch(path)), "")


def modules(files: Iterable[str]) -> list[str]:
    """Return the dotted names of a wheel's modules, those that run as programs left out."""
    paths = sorted(path for path in files if path.endswith(".py") and "__main__." not in path)
    return [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in paths]


def wrong_files(files: Mapping[str, bytes], source: Path) -> Iterator[str]:
    """Yield how the files of a wheel differ from those in `src`, and what both lack."""
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and not {"__pycache__", ".ruff_cache", ".mypy_cache"} & {*path.parts}
    }
    held = {path for path in files if ".dist-info/" not in path}
    yield from (f"{path} is not in the wheel" for path in sorted(wanted - held))
    yield from (f"{path} is in the wheel but not in src" for path in sorted(held - wanted))
    for package in sorted({path.split("/")[0] for path in held}):
        if f"{package}/py.typed" not in held:
            yield f"{package}/py.typed is missing: type checkers will ignore the annotations"
    for folder in sorted({path.rpartition("/")[0] for path in held if path.endswith(".py")}):
        if f"{folder}/__init__.py" not in held:
            yield f"{folder} holds modules but no __init__.py"


def wrong_metadata(metadata: Message, project: Mapping[str, Any]) -> Iterator[str]:
    """Yield fields that differ from what `pyproject.toml` says, and those that are missing."""
    for key in ("Name", "Version"):
        if metadata[key] != project[key.lower()]:
            yield f"METADATA says {key} {metadata[key]}, pyproject.toml {project[key.lower()]}"
    for key in ("Summary", "Requires-Python", "License-Expression"):
        if not metadata[key]:
            yield f"METADATA has no {key}"


def loose_pins(
    requirements: Iterable[str], versions: Mapping[str, str], own_name: str
) -> Iterator[str]:
    """Yield requirements on distributions of ours that are not pinned to the version built here.

    A distribution's requirement on extras of itself needs no version.
    """
    for requirement in requirements:
        words = re.match(r"([\w.-]+)\s*(\[[^]]*\])?\s*([^;]*)", requirement)
        name, extras, pin = words.groups() if words else (requirement, None, "")
        pin = re.sub(r"[\s()]", "", pin)
        if "@" in pin:
            yield f"{requirement} names an address"
        itself = canonical(name) == own_name and extras and not pin
        if not canonical(name).startswith(OURS) or itself:
            continue
        wanted = f"=={versions.get(canonical(name), 'VERSION')}"
        if pin != wanted:
            yield f"{requirement} must be pinned: {name}{extras or ''}{wanted}"


def wrong_entry_points(files: Mapping[str, bytes], project: Mapping[str, Any]) -> Iterator[str]:
    """Yield entry points that got lost or name no module of the wheel; a plugin must have one."""
    declared = {**project.get("entry-points", {}), "console_scripts": project.get("scripts", {})}
    declared = {group: dict(entries) for group, entries in declared.items() if entries}
    built = entry_points(dist_info(files, "entry_points.txt"))
    if built != declared:
        yield f"entry points are {built}, pyproject.toml declares {declared}"
    known = set(modules(files))
    for group, entries in built.items():
        for name, value in entries.items():
            if value.partition(":")[0].strip() not in known:
                yield f"entry point {name} of {group} names {value}, which the wheel does not hold"
    if "motrix-plugin" in project.get("keywords", []) and not any(map(is_plugin, built)):
        yield "the keyword motrix-plugin promises an entry point of motrix.envs or motrix.rlcfgs"


def entry_points(text: str) -> dict[str, dict[str, str]]:
    """Return the entry points of an `entry_points.txt` by group and name."""
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return {group: dict(parser[group]) for group in parser.sections()}


def wrong_licence(files: Mapping[str, bytes], metadata: Message) -> Iterator[str]:
    """Yield what is missing of the licence text."""
    named = metadata.get_all("License-File", [])
    if not named:
        yield 'no licence text: put LICENSE beside pyproject.toml, license-files = ["LICENSE"]'
    for name in named:
        if not dist_info(files, f"licenses/{name}"):
            yield f"the wheel does not hold the licence text {name}"


def write_decoy(folder: Path, name: str, version: str = "99.0") -> Path:
    """Write an empty wheel of a higher version, as an index may hold under a name of ours."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    tag = "py3-none-any"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: decoy\nRoot-Is-Purelib: true\nTag: {tag}\n",
        "RECORD": "".join(f"{info}/{file},,\n" for file in ("METADATA", "WHEEL", "RECORD")),
    }
    wheel = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(f"{info}/{file}", text)
    return wheel


# Environments


def installed(site: Path) -> dict[str, str]:
    """Return the versions of what a `site-packages` holds, by canonical name."""
    found = {}
    for folder in sorted(site.glob("*.dist-info")):
        metadata = email.message_from_bytes((folder / "METADATA").read_bytes())
        found[canonical(metadata["Name"])] = metadata["Version"]
    return found


def foreign(site: Path, dists: Mapping[str, Distribution]) -> Iterator[str]:
    """Yield how the distributions of ours in a `site-packages` differ from the wheels built here.

    Every file of theirs is compared, byte by byte.
    """
    for name, version in installed(site).items():
        if not name.startswith(OURS):
            continue
        if name not in dists or version != dists[name].version:
            yield f"{name} {version} was not built here"
            continue
        for path, content in read_wheel(dists[name].wheel).items():
            # Installers extend RECORD by what they write themselves.
            if path.endswith(".dist-info/RECORD"):
                continue
            copy = site / path
            if not copy.is_file() or copy.read_bytes() != content:
                yield f"{name} {version}: {path} is not the file of the wheel built here"
