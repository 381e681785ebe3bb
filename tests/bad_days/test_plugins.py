"""Plugins that are broken where they are declared: left out by name, and the rest works."""

from __future__ import annotations

import sys
import textwrap

import pytest
from answers import CLEAR, HARMLESS, TALLY, examples
from hypothesis import given
from hypothesis import strategies as st
from motrix_envs import registry as envs
from motrix_envs.errors import MotrixError, PluginWarning
from motrix_envs.registry import EnvRegistry
from motrix_rl import registry as rl
from motrix_rl.cli import main
from motrix_rl.registry import RlRegistry

DOOR = "plugins"
ENVS, RLCFGS = "motrix.envs", "motrix.rlcfgs"
METADATA = b"Metadata-Version: 2.1\nName: my-bad\nVersion: 1.0\n"


class Site:
    """A folder on `sys.path` with one plugin."""

    def __init__(self, folder):
        self.folder = folder

    def module(self, source, name="my_bad"):
        (self.folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        sys.modules.pop(name, None)

    def distribution(self, entry_points, metadata=METADATA, name="my_bad", kind="dist-info"):
        info = self.folder / f"{name}-1.0.{kind}"
        info.mkdir(exist_ok=True)
        for file, content in (("METADATA", metadata), ("entry_points.txt", entry_points)):
            if content is not None:
                (info / file).write_bytes(content)

    def plugin(self, source, value="my_bad:register", group=ENVS):
        self.module(source)
        self.distribution(f"[{group}]\nmy-bad = {value}\n".encode())


@pytest.fixture
def site(plugin_folder):
    return Site(plugin_folder)


def look(capsys):
    """Call `motrix list` and `motrix plugins --check` on fresh registries."""
    with pytest.MonkeyPatch.context() as patch:
        fresh = EnvRegistry()
        patch.setattr(envs, "default", fresh)
        patch.setattr(rl, "default", RlRegistry(fresh))
        return [(main(argv), capsys.readouterr()) for argv in (["list"], ["plugins", "--check"])]


def check_left_out(capsys, *says):
    """Check that the plugin is reported, and that everything else is there; count it."""
    (listed, first), (checked, second) = look(capsys)
    assert listed == 0
    assert "cartpole" in first.out
    assert "acme-slide" in first.out
    assert "Traceback" not in first.err + second.out + second.err
    assert first.err == second.err == ""
    if says:
        assert checked == 1, second.out
        assert "FAILED" in second.out or "my-bad" in second.out
        for word in says:
            assert word in second.out, second.out
    TALLY[DOOR, CLEAR if checked else HARMLESS] += 1


VALUES = [
    "no_such_module:register", "my_bad.sub:register", "my_bad:nothing", "my_bad:register.x",
    "my_bad:NUMBER", "my_bad:TEXT", "my_bad:NONE", "my_bad", ":register", "my_bad:",
    "my_bad:a b", "my bad:register", "my_bad::register", "my_bad:register:x", "my-bad:register",
    ".my_bad:register", "..my_bad:register", "my_bad.:register", "/etc/passwd:x",
    "my_bad:register()", "my_bad:__class__", "my_bad:register [extra]", "1my_bad:register",
    "class:def", "😀:register", "os:_exit.x", "-",
]  # fmt: skip


@pytest.mark.parametrize("group", [ENVS, RLCFGS])
@pytest.mark.parametrize("value", VALUES)
def test_values_of_entry_points(site, capsys, group, value):
    site.plugin("NUMBER, TEXT, NONE = 3, 'x', None\ndef register(registry): ...", value, group)
    says = () if value == "my_bad:register [extra]" else ("my-bad",)
    check_left_out(capsys, *says)


HOOKS = {
    "takes nothing": "def register(): ...",
    "takes two": "def register(registry, other): ...",
    "keyword only": "def register(*, registry): ...",
    "a class": "class register:\n    pass",
    "raises": "def register(registry): raise ValueError('no')",
    "raises nothing to say": "def register(registry): raise Exception",
    "raises a class of its own": "class E(Exception):\n    def __str__(self): raise E\n"
    "def register(registry): raise E",
    "exits": "def register(registry): raise SystemExit(3)",
    "exits well": "def register(registry):\n    import sys; sys.exit(0)",
    "recursion": "def register(registry): register(registry)",
    "memory": "def register(registry): raise MemoryError",
    "no import": "import nothing_of_this_name\ndef register(registry): ...",
    "no syntax": "def register(registry:",
    "no text": "\x00",
    "assertion": "def register(registry): assert registry is None",
    "group": "def register(registry): raise ExceptionGroup('two', [ValueError('a'), OSError('b')])",
    "stop iteration": "def register(registry): raise StopIteration",
    "of the platform": "from motrix_envs.errors import ConfigError\n"
    "def register(registry): raise ConfigError('own')",
}


@pytest.mark.parametrize("group", [ENVS, RLCFGS])
@pytest.mark.parametrize("kind", HOOKS)
def test_hooks(site, capsys, group, kind):
    site.plugin(HOOKS[kind], group=group)
    check_left_out(capsys, "my-bad 1.0")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "GeneratorExit"])
def test_an_interrupt_goes_through(site, error):
    site.plugin(f"def register(registry): raise {error}")
    with pytest.raises((KeyboardInterrupt, GeneratorExit)):
        EnvRegistry().envs()
    TALLY[DOOR, CLEAR] += 1


DECLARATIONS = {
    "empty id": "lazy('my_bad', '')",
    "blank id": "lazy('my_bad', ' ')",
    "a path": "lazy('my_bad', '/a/b')",
    "backslash": "lazy('my_bad', 'a\\\\b')",
    "spaces": "lazy('my_bad', 'my env')",
    "newline": "lazy('my_bad', 'my\\nenv')",
    "escape": "lazy('my_bad', 'my\\x1b[31menv')",
    "zero byte": "lazy('my_bad', 'my\\x00env')",
    "option": "lazy('my_bad', '--help')",
    "surrogate": "lazy('my_bad', 'my\\udcffenv')",
    "dots": "lazy('my_bad', '..')",
    "number": "lazy('my_bad', 3)",
    "none": "lazy('my_bad', None)",
    "bytes": "lazy('my_bad', b'x')",
    "list": "lazy('my_bad', ['a', 'b'])",
    "no module": "lazy('', 'my-env')",
    "module none": "lazy(None, 'my-env')",
    "module number": "lazy(3, 'my-env')",
    "nothing": "lazy()",
    "engine": "engine('my engine', 'my_bad:Engine')",
    "engine number": "engine(3, 'my_bad:Engine')",
    "engine target": "engine('my-engine', 3)",
    "taken": "lazy('my_bad', 'cartpole')",
    "taken by acme": "lazy('my_bad', 'acme-slide')",
    "no method": "declare('x')",
}


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_declarations_of_environments(site, capsys, kind):
    site.plugin(f"def register(registry):\n    registry.{DECLARATIONS[kind]}\n")
    check_left_out(capsys, "my-bad 1.0")


PRESETS = {
    "number": "preset('my_bad', 3)",
    "list": "preset('my_bad', ['a'])",
    "module": "preset(3, 'cartpole', algo='x')",
    "rllib": "preset('my_bad', 'cartpole', rllib=3)",
    "empty rllib": "preset('my_bad', 'cartpole', rllib='')",
    "backend": "preset('my_bad', 'cartpole', backend=['torch'])",
    "taken": "preset('my_bad', 'cartpole')",
    "trainer": "backend(rllib='skrl', backend='torch', trainer='my_bad:T')",
    "trainer number": "backend(rllib='my', backend='torch', trainer=3)",
    "blank": "backend(rllib=' ', backend=' ', trainer='my_bad:T')",
    "module name": "module(3, 'my_bad:M')",
    "module target": "module('mlp2', None)",
}


@pytest.mark.parametrize("kind", PRESETS)
def test_declarations_of_presets(site, capsys, kind):
    site.plugin(f"def register(registry):\n    registry.{PRESETS[kind]}\n", group=RLCFGS)
    check_left_out(capsys, "my-bad 1.0")


IDS = st.text(max_size=10) | st.integers() | st.none() | st.binary(max_size=3) | st.floats()


@examples(40)
@given(IDS)
def test_any_id(site, capsys, name):
    site.plugin(f"def register(registry):\n    registry.lazy('my_bad', {name!a})\n")
    check_left_out(capsys, "my-bad 1.0")


# Metadata

GOOD = b"[motrix.envs]\nmy-bad = my_bad:register\n"
TORN = {
    "no metadata": (GOOD, None),
    "empty metadata": (GOOD, b""),
    "binary metadata": (GOOD, bytes(range(256))),
    "no name": (GOOD, b"Metadata-Version: 2.1\nVersion: 1.0\n"),
    "no version": (GOOD, b"Metadata-Version: 2.1\nName: my-bad\n"),
    "two names": (GOOD, METADATA + b"Name: other\n"),
    "utf-16": (GOOD.decode().encode("utf-16"), METADATA),
    "latin-1": ("[motrix.envs]\nbär = my_bad:register\n".encode("latin-1"), METADATA),
    "binary": (bytes(range(256)), METADATA),
    "binary after the head": (GOOD + bytes(range(128, 256)), METADATA),
    "empty": (b"", METADATA),
    "head alone": (b"[motrix.envs]", METADATA),
    "no head": (b"my-bad = my_bad:register\n", METADATA),
    "open head": (b"[motrix.envs\nmy-bad = my_bad:register\n", METADATA),
    "no equals": (b"[motrix.envs]\nmy-bad\n", METADATA),
    "no value": (b"[motrix.envs]\nmy-bad =\n", METADATA),
    "no name of it": (b"[motrix.envs]\n= my_bad:register\n", METADATA),
    "twice": (GOOD + GOOD, METADATA),
    "two of a name": (GOOD + b"my-bad = my_bad:other\n", METADATA),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, METADATA),
    "carriage returns": (GOOD.replace(b"\n", b"\r"), METADATA),
    "zero bytes": (GOOD.replace(b"my_bad", b"my\x00bad"), METADATA),
    "long": (b"[motrix.envs]\n" + b"x" * 100_000 + b" = my_bad:register\n", METADATA),
}


@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
@pytest.mark.parametrize("torn", TORN)
def test_torn_distributions(site, capsys, torn, kind):
    entry_points, metadata = TORN[torn]
    site.module("def register(registry): ...")
    site.distribution(entry_points, metadata, kind=kind)
    check_left_out(capsys)


@examples(40)
@given(st.data())
def test_any_entry_points(site, capsys, data):
    content = bytearray(GOOD * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    site.module("def register(registry): ...")
    site.distribution(bytes(content))
    check_left_out(capsys)


@pytest.mark.parametrize("file", ["METADATA", "entry_points.txt"])
def test_a_folder_instead_of_a_file(site, capsys, file):
    site.distribution(GOOD)
    path = site.folder / "my_bad-1.0.dist-info" / file
    path.unlink()
    path.mkdir()
    check_left_out(capsys)


def test_two_plugins_of_one_name(site, capsys):
    site.plugin("def register(registry): registry.lazy('my_bad', 'my-env')")
    site.module("def register(registry): registry.lazy('my_two', 'my-env')", name="my_two")
    other = METADATA.replace(b"1.0", b"2.0")
    info = site.folder / "my_bad-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes(other)
    (info / "entry_points.txt").write_bytes(GOOD.replace(b"my_bad:", b"my_two:"))
    check_left_out(capsys)


def test_the_warning_names_the_plugin(site):
    site.plugin("def register(): ...")
    with pytest.warns(PluginWarning, match=r"my-bad 1\.0.*register"):
        EnvRegistry().envs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTRIX_STRICT_PLUGINS", "1")
        with pytest.raises(MotrixError, match=r"my-bad 1\.0"):
            EnvRegistry().envs()
    TALLY[DOOR, CLEAR] += 2
