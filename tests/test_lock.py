"""Committed locks name no download address, and the tool that strips them keeps every version."""

import importlib.util
import io
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ["uv.lock", "benchmarks/uv.lock"]


def load_tool():
    spec = importlib.util.spec_from_file_location("strip_lock", ROOT / "tools/strip_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


strip_lock = load_tool()

FULL = """\
version = 1
requires-python = ">=3.11"

[manifest]
members = ["here"]

[[package]]
name = "there"
version = "1.2.3"
source = { registry = "https://index.example/simple" }
dependencies = [
    { name = "deep", version = "4", source = { registry = "../wheels" }, marker = "x" },
]
sdist = { url = "https://files.example/there-1.2.3.tar.gz", hash = "sha256:00", size = 1 }
wheels = [
    { url = "https://files.example/there-1.2.3-py3-none-any.whl", hash = "sha256:01", size = 2 },
    { url = "https://files.example/there-1.2.3-cp311-any.whl", hash = "sha256:02", size = 3 },
]

[[package]]
name = "here"
version = "0.1.0"
source = { editable = "packages/here" }
dependencies = [
    { name = "there" },
]

[package.optional-dependencies]
more = [
    { name = "deep" },
]

[package.metadata]
requires-dist = [
    { name = "there", specifier = ">=1" },
]
provides-extras = ["more"]

[package.metadata.requires-dev]
dev = [{ name = "deep" }]

[[package]]
name = "last"
version = "5"
source = { virtual = "." }
"""

STRIPPED = """\
version = 1
requires-python = ">=3.11"

[manifest]
members = ["here"]

[[package]]
name = "there"
version = "1.2.3"
source = { registry = "index" }
dependencies = [
    { name = "deep", version = "4", source = { registry = "index" }, marker = "x" },
]

[[package]]
name = "here"
version = "0.1.0"
source = { editable = "packages/here" }
dependencies = [
    { name = "there" },
]

[package.optional-dependencies]
more = [
    { name = "deep" },
]

[[package]]
name = "last"
version = "5"
source = { virtual = "." }
"""


def git(*arguments):
    """Run git in the checkout; None if there is no git."""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
        )
    except FileNotFoundError:
        return None


@pytest.fixture(scope="module", params=LOCKS)
def committed(request):
    top = git("rev-parse", "--show-toplevel")
    if top is None:
        pytest.skip("git is not installed")
    if top.returncode != 0:
        pytest.skip(f"not a git checkout: {top.stderr.strip()}")
    if Path(top.stdout.strip()).resolve() != ROOT.resolve():
        pytest.skip("the checkout around this folder belongs to another project")
    if git("rev-parse", "--quiet", "--verify", "HEAD").returncode != 0:
        pytest.skip("nothing is committed yet")
    shown = git("show", f"HEAD:{request.param}")
    assert shown.returncode == 0, f"{request.param} is not committed: {shown.stderr}"
    return shown.stdout


def test_committed_lock_names_no_address(committed):
    lines = strip_lock.lines_with_address(committed)
    assert not lines, f"lines {lines[:5]} … hold addresses: enable the filter of CONTRIBUTING.md"


def test_committed_lock_is_what_the_tool_writes(committed):
    assert strip_lock.strip(committed) == committed


def test_workspace_packages_never_come_from_an_index(committed):
    packages = tomllib.loads(committed)["package"]
    ours = {p["name"]: p["source"] for p in packages if p["name"].startswith(("motrix-", "acme-"))}
    assert {"motrix-envs", "motrix-rl", "motrix-rl-jax", "motrix-rl-torch"} <= ours.keys()
    foreign = {name: source for name, source in ours.items() if "registry" in source}
    assert not foreign
    assert all(source.keys() <= {"editable", "virtual"} for source in ours.values())


def test_strip_drops_addresses_and_metadata_only():
    assert strip_lock.strip(FULL) == STRIPPED


def test_strip_is_idempotent():
    assert strip_lock.strip(STRIPPED) == STRIPPED


def test_strip_normalises_line_ends():
    assert strip_lock.strip(FULL.replace("\n", "\r\n")) == STRIPPED


@pytest.mark.parametrize("lock", LOCKS)
def test_strip_keeps_versions_of_the_lock_here(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    stripped = strip_lock.strip(text)

    def pins(lock):
        return [(p["name"], p["version"]) for p in tomllib.loads(lock)["package"]]

    assert pins(stripped) == pins(text)
    assert "://" not in stripped


def test_rewrite_in_place(tmp_path):
    path = tmp_path / "uv.lock"
    path.write_text(FULL, encoding="utf-8")
    assert strip_lock.main([str(path)]) == 0
    assert path.read_bytes() == STRIPPED.encode()


@pytest.mark.parametrize(("text", "status"), [(FULL, 1), (STRIPPED, 0)])
def test_check_tells_and_writes_nothing(tmp_path, capsys, text, status):
    path = tmp_path / "uv.lock"
    path.write_text(text, encoding="utf-8")
    assert strip_lock.main(["--check", str(path)]) == status
    assert path.read_text(encoding="utf-8") == text
    assert ("python tools/strip_lock.py" in capsys.readouterr().err) == bool(status)


def test_filter_reads_stdin_and_writes_stdout(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(FULL.encode())))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    assert strip_lock.main(["--stdin"]) == 0
    assert written.getvalue() == STRIPPED.encode()


def test_package_from_an_address_is_reported_without_the_address(tmp_path, capsys):
    path = tmp_path / "uv.lock"
    path.write_text(f'{STRIPPED}source = {{ git = "https://user:secret@example/x" }}\n')
    assert strip_lock.main([str(path)]) == 1
    said = capsys.readouterr().err
    assert "index" in said
    assert "secret" not in said
