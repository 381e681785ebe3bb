"""The check of the wheels: what it recognises, and, marked slow, that our wheels pass it."""

import email
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load(name):
    """Import a script; its neighbours must be loaded before."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


wheel_contents = load("wheel_contents")
check_wheels = load("check_wheels")

PYPROJECT = """\
[project]
name = "motrix-toy"
version = "1.2"
keywords = ["motrix-plugin"]

[project.scripts]
toy = "motrix_toy.cli:main"

[project.entry-points."motrix.envs"]
motrix-toy = "motrix_toy.plugin:register"
"""
METADATA = """\
Metadata-Version: 2.4
Name: motrix-toy
Version: 1.2
Summary: A toy.
License-Expression: Apache-2.0
License-File: LICENSE
Requires-Python: >=3.11
Requires-Dist: numpy>=2
Requires-Dist: motrix-envs==1.2
Requires-Dist: motrix-toy[more] ; extra == 'all'

"""
ENTRY_POINTS = """\
[console_scripts]
toy = motrix_toy.cli:main

[motrix.envs]
motrix-toy = motrix_toy.plugin:register
"""
INFO = "motrix_toy-1.2.dist-info"
SOURCE = {
    "motrix_toy/__init__.py": "",
    "motrix_toy/cli.py": "def main(): ...\n",
    "motrix_toy/model.xml": "<mujoco/>\n",
    "motrix_toy/plugin.py": "def register(registry): ...\n",
    "motrix_toy/py.typed": "",
}
WHEEL = SOURCE | {
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/RECORD": "",
    f"{INFO}/entry_points.txt": ENTRY_POINTS,
    f"{INFO}/licenses/LICENSE": "Do as you like.\n",
}
VERSIONS = {"motrix-envs": "1.2", "motrix-toy": "1.2"}


def write_files(folder, files):
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())


@pytest.fixture
def toy(tmp_path):
    """A function that writes a project and its wheel, with changed files, and returns both."""

    def make(changed=(), pyproject=PYPROJECT):
        files = {path: text for path, text in (WHEEL | dict(changed)).items() if text is not None}
        write_files(tmp_path / "toy", {"pyproject.toml": pyproject})
        write_files(tmp_path / "toy/src", SOURCE)
        dist = wheel_contents.Distribution.read(tmp_path / "toy", tmp_path)
        with zipfile.ZipFile(dist.wheel, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        return dist

    return make


# Looking inside a wheel


def test_good_wheel_has_no_problems(toy):
    dist = toy()
    assert dist.wheel.name == "motrix_toy-1.2-py3-none-any.whl"
    assert dist.groups == {"motrix.envs"}
    assert dist.problems(VERSIONS) == []


LICENCE = 'no licence text: put LICENSE beside pyproject.toml, license-files = ["LICENSE"]'


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("motrix_toy/model.xml", None, "motrix_toy/model.xml is not in the wheel"),
        ("motrix_toy/scratch.py", "", "motrix_toy/scratch.py is in the wheel but not in src"),
        ("motrix_toy/py.typed", None, "motrix_toy/py.typed is missing"),
        ("motrix_toy/sub/deep.py", "", "motrix_toy/sub holds modules but no __init__.py"),
        (f"{INFO}/METADATA", METADATA.replace("1.2\nS", "1.3\nS"), "METADATA says Version 1.3"),
        (f"{INFO}/METADATA", METADATA.replace("Summary: A toy.\n", ""), "METADATA has no Summary"),
        (f"{INFO}/METADATA", METADATA.replace("envs==1.2", "envs"), "motrix-envs must be pinned"),
        (f"{INFO}/METADATA", METADATA.replace("License-File: LICENSE\n", ""), LICENCE),
        (f"{INFO}/licenses/LICENSE", None, "the wheel does not hold the licence text LICENSE"),
        (f"{INFO}/entry_points.txt", "", "entry points are {}"),
        ("motrix_toy/plugin.py", None, "entry point motrix-toy of motrix.envs names"),
    ],
)
def test_flaw_is_found(toy, path, text, problem):
    problems = toy({path: text}).problems(VERSIONS)
    assert any(found.startswith(problem) for found in problems), problems


def test_plugin_without_entry_point_is_found(toy):
    lines = PYPROJECT.partition("\n[project.scripts]")[0]
    (problem,) = toy({f"{INFO}/entry_points.txt": ""}, pyproject=lines).problems(VERSIONS)
    assert problem.startswith("the keyword motrix-plugin promises")


@pytest.mark.parametrize(
    ("requirement", "fine"),
    [
        ("numpy>=2", True),
        ("motrixsim>=0.10", True),
        ("motrix-envs==1.2", True),
        ("motrix-envs (==1.2)", True),
        ("motrix_envs == 1.2", True),
        ("Motrix.Envs==1.2 ; extra == 'x'", True),
        ("motrix-envs[more]==1.2", True),
        ("motrix-toy[more] ; extra == 'all'", True),
        ("motrix-toy ; extra == 'all'", False),
        ("motrix-envs", False),
        ("motrix-envs[more]", False),
        ("motrix-envs>=1.2", False),
        ("motrix-envs==1.1", False),
        ("motrix-unknown==1.2", False),
        ("numpy @ file:///numpy.whl", False),
    ],
)
def test_siblings_must_be_pinned(requirement, fine):
    assert fine == (not list(wheel_contents.loose_pins([requirement], VERSIONS, "motrix-toy")))


def test_modules_are_named_as_they_are_imported():
    files = ["a/sub/b.py", "a/__init__.py", "a/__main__.py", "a/data.xml", "a/sub/__init__.py"]
    assert wheel_contents.modules(files) == ["a", "a.sub", "a.sub.b"]


@pytest.mark.parametrize(
    ("folder", "error", "where", "excused"),
    [
        ("examples", "No module named 'motrix_rl_torch'", ["motrix_toy.nets"], True),
        (
            "examples",
            "No module named 'motrix_rl_torch'",
            ["motrix_toy.nets", "motrix_rl.x"],
            False,
        ),
        ("examples", "No module named 'torch'", ["motrix_toy.nets"], False),
        ("packages", "No module named 'motrix_rl_torch'", ["motrix_toy.nets"], False),
    ],
)
def test_an_example_may_want_what_its_extras_bring(tmp_path, folder, error, where, excused):
    project = {"name": "motrix-toy", "optional-dependencies": {"torch": ["motrix-rl-torch==1.2"]}}
    dist = wheel_contents.Distribution(tmp_path / folder / "toy", project, tmp_path)
    assert dist.optional == {"motrix_rl_torch"}
    found = check_wheels.wants_an_extra(dist, f"ModuleNotFoundError: {error}", where)
    assert found == excused


def test_decoy_is_a_wheel_of_a_higher_version(tmp_path):
    wheel = wheel_contents.write_decoy(tmp_path, "motrix-toy")
    files = wheel_contents.read_wheel(wheel)
    metadata = email.message_from_string(wheel_contents.dist_info(files, "METADATA"))
    assert wheel.name == "motrix_toy-99.0-py3-none-any.whl"
    assert (metadata["Name"], metadata["Version"]) == ("motrix-toy", "99.0")


# Looking into an environment


@pytest.fixture
def site(tmp_path, toy):
    """A `site-packages` with the toy from its wheel and a package of somebody else."""
    dist = toy()
    folder = tmp_path / "site"
    with zipfile.ZipFile(dist.wheel) as archive:
        archive.extractall(folder)
    write_files(folder, {"motrixsim-9.dist-info/METADATA": "Name: motrixsim\nVersion: 9\n"})
    return folder


def differences(site, dist):
    return list(wheel_contents.foreign(site, {dist.name: dist}))


def test_own_wheel_is_not_foreign(site, toy):
    write_files(site, {f"{INFO}/RECORD": "rewritten by the installer"})
    assert wheel_contents.installed(site) == {"motrix-toy": "1.2", "motrixsim": "9"}
    assert differences(site, toy()) == []


def test_changed_file_is_foreign(site, toy):
    write_files(site, {"motrix_toy/cli.py": "def main(): print('somebody else')\n"})
    (found,) = differences(site, toy())
    assert "motrix_toy/cli.py is not the file" in found


def test_missing_file_is_foreign(site, toy):
    (site / "motrix_toy/model.xml").unlink()
    (found,) = differences(site, toy())
    assert "motrix_toy/model.xml is not the file" in found


def test_other_version_and_unknown_sibling_are_foreign(site, toy):
    other = METADATA.replace("Version: 1.2", "Version: 0.4.0")
    metadata = {"motrix_deploy-3.dist-info/METADATA": "Name: motrix_deploy\nVersion: 3\n"}
    write_files(site, {f"{INFO}/METADATA": other} | metadata)
    assert differences(site, toy()) == [
        "motrix-deploy 3 was not built here",
        "motrix-toy 0.4.0 was not built here",
    ]


# Commands and their report


def test_run_as_a_stranger(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "here")
    monkeypatch.setenv("MOTRIX_DISABLE_PLUGINS", "all")
    code = "import os; print(sorted(k for k in os.environ if k in ('PYTHONPATH', 'VIRTUAL_ENV')"
    code += " or k.startswith('MOTRIX')), os.getcwd())"
    said, _ = check_wheels.run((sys.executable, "-c", code), tmp_path)
    assert said.strip().split(maxsplit=1) == ["[]", str(tmp_path)]


@pytest.mark.parametrize(("status", "expect"), [(3, 0), (0, 1)])
def test_other_exit_code_tells_command_and_output(tmp_path, status, expect):
    code = f"import sys; print('out'); print('err', file=sys.stderr); sys.exit({status})"
    with pytest.raises(check_wheels.CheckError) as caught:
        check_wheels.run((sys.executable, "-c", code), tmp_path, expect)
    words = f"exit code {status}, not {expect}: {sys.executable} -c {code}\nout\nerr\n"
    assert str(caught.value) == words


def test_command_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(check_wheels, "TIMEOUT", 0.5)
    with pytest.raises(check_wheels.CheckError, match="still runs"):
        check_wheels.run((sys.executable, "-c", "import time; time.sleep(60)"), tmp_path)


def test_report_keeps_failures_and_goes_on(capsys):
    report = check_wheels.Report()
    assert not report.passed
    with report.step("here", "works") as step:
        step.detail = "fine"
    assert report.passed
    with report.step("there", "breaks"):
        check_wheels.require_none(["first problem", "second problem"])
    assert not report.passed
    assert "second problem" in capsys.readouterr().out
    lines = [line.split() for line in report.table().splitlines()]
    assert lines[1][:3] == ["here", "works", "ok"]
    assert lines[2][:3] == ["there", "breaks", "FAILED"]
    assert lines[1][-1] == "fine"
    assert lines[2][-2:] == ["first", "problem"]


def test_json_or_an_error():
    assert check_wheels.parse_json("[1]") == [1]
    with pytest.raises(check_wheels.CheckError, match="nonsense"):
        check_wheels.parse_json("nonsense")


def test_short_form_is_the_default():
    options = check_wheels.parse([])
    assert (options.long, options.pip, options.torch) == (False, False, None)
    with pytest.raises(SystemExit):
        check_wheels.parse(["--short", "--long"])


def test_without_uv_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert check_wheels.main([]) == 1
    assert "pip install uv" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on the PATH")
def test_wheels_work_in_empty_environments():
    run = subprocess.run(
        [sys.executable, SCRIPTS / "check_wheels.py", "--short"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    assert run.returncode == 0, run.stdout + run.stderr
