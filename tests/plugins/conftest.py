"""Plugins written to disk by hand: a `dist-info` folder and modules, found as pip's would be."""

import textwrap

import pytest
from motrix_envs.registry import EnvRegistry
from motrix_rl.registry import RlRegistry

ENV = """
from dataclasses import dataclass
from motrix_envs.base import EnvCfg
from motrix_envs.registry import env, envcfg
{before}

@envcfg("{name}")
@dataclass
class Cfg(EnvCfg):
    pass

{between}

@env("{name}", "np")
class Env:
    pass

{after}
"""

PRESET = """
from dataclasses import dataclass
from motrix_rl.registry import rlcfg
from motrix_rl.skrl.cfg import PPOCfg
{before}

@rlcfg("{name}"{where})
@dataclass
class Preset(PPOCfg):
    rollouts: int = {rollouts}
"""


class Site:
    """A folder on `sys.path` in which to install plugins."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, module, source):
        """Write a module, `"my_acme.hop"`, and the packages that it is in."""
        *packages, name = module.split(".")
        folder = self.folder
        for package in packages:
            folder = folder / package
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")

    def env(self, module, name, *, before="", between="", after=""):
        """Write a module that defines an environment; the rest is code around the definitions."""
        self.write(module, ENV.format(name=name, before=before, between=between, after=after))

    def preset(self, module, name, *, where="", before="", rollouts=8):
        """Write a module that defines a training configuration."""
        source = PRESET.format(name=name, where=where, before=before, rollouts=rollouts)
        self.write(module, source)

    def hook(self, package, *body, top=""):
        """Write the module of a hook; `top` is code above it."""
        lines = "\n".join(f"    {line}" for line in body) or "    pass"
        self.write(f"{package}.plugin", f"{top}\ndef register(registry):\n{lines}\n")

    def metadata(self, name, entry_points, version="1.0"):
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")

    def plugin(self, name, *body, top="", group="motrix.envs", entry=None, value=None):
        """Install a distribution with a hook; its package is its name with underscores."""
        package = name.replace("-", "_")
        self.hook(package, *body, top=top)
        value = value or f"{package}.plugin:register"
        self.metadata(name, f"[{group}]\n{entry or name} = {value}\n")


@pytest.fixture
def site(plugin_folder):
    return Site(plugin_folder)


@pytest.fixture
def registry():
    return EnvRegistry()


@pytest.fixture
def rl_registry(registry):
    return RlRegistry(registry)


@pytest.fixture
def names(registry):
    """Return a function that lists what plugins of these tests hold; built-in ones left out."""

    def held():
        mine = [
            record for record in registry.envs() if record.owner.name.startswith(("my-", "aaa"))
        ]
        return {record.name: record.owner.name for record in mine}

    return held
