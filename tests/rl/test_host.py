"""Every run says on what machine and with which versions it was made."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from motrix_rl.host import describe_host


def refuse(code):
    def refusing(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return refusing


def test_describe_host_is_json_with_versions():
    host = describe_host()
    assert json.loads(json.dumps(host)) == host
    assert host["versions"]["numpy"] == np.__version__
    assert "motrix-rl" in host["versions"]
    assert 1 <= host["cpu"]["usable"] <= host["cpu"]["count"]
    assert host["cpu"]["model"]


def test_describe_host_imports_no_framework():
    code = "import sys, motrix_rl.host as h; h.describe_host(); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"torch", "jax", "flax", "skrl", "gymnasium", "motrixsim"}.intersection(loaded)


def test_git_commit_and_dirt(tmp_path, monkeypatch):
    if not shutil.which("git"):
        pytest.skip("needs git")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe_host()["git"] is None
    (tmp_path / "file").write_text("one")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "file"), (*identity, "commit", "-q", "-m", "one")):
        subprocess.run(["git", *command], check=True)
    clean = describe_host()["git"]
    assert re.fullmatch(r"[0-9a-f]{40}", clean["commit"])
    assert clean["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert describe_host()["git"] == {**clean, "dirty": True}


def test_describe_host_without_git(monkeypatch):
    monkeypatch.setattr(subprocess, "run", refuse(errno.ENOENT))
    assert describe_host()["git"] is None


def test_describe_host_when_git_hangs(monkeypatch):
    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert describe_host()["git"] is None
