"""Damaged runs: what a command needs is refused by name, what it does not need does not matter."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from answers import CLEAR, EFFORT, HARMLESS, TALLY, everything_in, examples, motrix
from hypothesis import given
from hypothesis import strategies as st
from motrix_rl.runs import Run

DOOR = "run folders"

# A record is for people to read and to edit, and a pointer is a number: other numbers are allowed.
UNVERIFIED = ("run.json", "latest", "best")

QUICK = {
    "eval": ("--episodes", "1", "--json"),
    "play": ("--max-steps", "2", "--size", "16", "16"),
    "record": ("--max-steps", "2", "--size", "16", "16"),
}


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("motrix_rl.evaluation.RESAMPLES", 20)
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "video.gif"


@pytest.fixture(scope="module")
def runs(trained):
    return [run.path for run in Run.find(trained)]


def look(command, run, out, *options):
    """Call a command on a run; return the answer and, if it worked, what it found out."""
    out.unlink(missing_ok=True)
    videos = () if command == "eval" else ("--out", str(out))
    answer = motrix(command, str(run), *QUICK[command], *videos, *options)
    if answer.code:
        return answer, None
    if command == "eval":
        return answer, {k: v for k, v in json.loads(answer.out).items() if k != "run"}
    return answer, out.read_bytes()


@pytest.fixture(scope="module")
def healthy(runs, out):
    """Return what each command finds out about the undamaged run."""
    return {command: look(command, runs[0], out)[1] for command in QUICK}


class Damage:
    """A copy of a run, to be damaged."""

    def __init__(self, runs, folder, healthy, out):
        self.runs, self.folder, self.healthy, self.out = runs, folder, healthy, out

    @property
    def files(self):
        return [p.relative_to(self.runs[0]) for p in sorted(self.runs[0].rglob("*")) if p.is_file()]

    @contextmanager
    def copy(self):
        path = self.folder / self.runs[0].name
        shutil.copytree(self.runs[0], path)
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def check(self, run, *damaged, commands=QUICK, options=()):
        """Check that every command refuses the damage by name, or works as before; count it."""
        before = everything_in(run)
        for command in commands:
            answer, found = look(command, run, self.out, *options)
            what = f"motrix {command}, {damaged}:\n{answer.out}\n{answer.err}"
            if answer.code == 0:
                same = found == self.healthy[command]
                assert same or any(name in UNVERIFIED for name in map(str, damaged)), what
                TALLY[DOOR, HARMLESS] += 1
            else:
                assert answer.code == 1, what
                assert answer.err.startswith("error: "), what
                assert "Traceback" not in answer.err, what
                assert answer.out == "", what
                if damaged:
                    assert any(name in answer.err for name in _names(damaged)), what
                TALLY[DOOR, CLEAR] += 1
            assert everything_in(run) == before, f"reading changed the run: {what}"


def _names(damaged):
    """Yield how a message may call damaged files: by their names, or by their checkpoint."""
    for path in map(Path, damaged):
        yield path.name
        if path.parts[0] == "checkpoints":
            yield f"checkpoint of step {path.parts[1]}"
        if path.name == "manifest.json":
            yield str(path.parent)  # nobody knows whether the list is wrong or what it lists
        if path.name == "run.json":
            yield ""  # a record may ask for an engine or an environment that does not exist


@pytest.fixture(scope="module")
def damage(runs, tmp_path_factory, healthy, out):
    return Damage(runs, tmp_path_factory.mktemp("damaged"), healthy, out)


def test_looking_at_a_healthy_run_changes_nothing(damage):
    with damage.copy() as run:
        before = everything_in(run)
        for command in QUICK:
            assert look(command, run, damage.out)[1] == damage.healthy[command]
        assert everything_in(run) == before


# Whole files


def _empty(path):
    path.write_bytes(b"")


def _folder(path):
    path.unlink()
    path.mkdir()


def _garbage(path):
    path.write_bytes(path.read_bytes() + b"\x00garbage\xff")


def _binary(path):
    path.write_bytes(bytes(range(256)))


def _dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def _circle(path):
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "harm", [Path.unlink, _empty, _folder, _garbage, _binary, _dangling, _circle]
)
def test_every_file(damage, harm):
    commands = QUICK if EFFORT > 1 or harm is Path.unlink else ("eval",)
    for file in damage.files:
        with damage.copy() as run:
            harm(run / file)
            damage.check(run, file, commands=commands)


def test_every_folder_gone(damage):
    for folder in sorted({parent for file in damage.files for parent in file.parents[:-1]}):
        inside = [file for file in damage.files if folder in file.parents]
        with damage.copy() as run:
            shutil.rmtree(run / folder)
            # The pointer names a step that is gone.
            damage.check(run, *inside, "latest", folder)


@examples(40)
@given(st.data())
def test_two_files_of_a_run_swapped(damage, data):
    one, other = data.draw(
        st.lists(st.sampled_from(damage.files), min_size=2, max_size=2, unique=True)
    )
    with damage.copy() as run:
        (run / one).rename(run / "aside")
        (run / other).rename(run / one)
        (run / "aside").rename(run / other)
        damage.check(run, one, other, commands=("eval",))


def test_every_file_of_another_run(damage):
    stranger = damage.runs[1]
    for file in damage.files:
        if not (stranger / file).is_file():
            continue  # an event file, called after its time
        with damage.copy() as run:
            shutil.copy(stranger / file, run / file)
            damage.check(run, file)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_every_file_unreadable(damage, monkeypatch, code):
    """Root may read everything, so the refusal is simulated where files are opened."""
    read, open_ = Path.read_bytes, Path.open
    for file in damage.files:
        with damage.copy() as run, monkeypatch.context() as patch:
            refused = run / file

            def refusing(call, refused=refused):
                def opening(path, *args, **kwargs):
                    if path == refused:
                        raise OSError(code, os.strerror(code), str(path))
                    return call(path, *args, **kwargs)

                return opening

            before = everything_in(run)
            patch.setattr(Path, "read_bytes", refusing(read))
            patch.setattr(Path, "open", refusing(open_))
            answer, found = look("eval", run, damage.out)
            patch.undo()
            assert everything_in(run) == before
            if answer.code == 0:
                assert found == damage.healthy["eval"]
                TALLY[DOOR, HARMLESS] += 1
            else:
                assert answer.err.startswith("error: "), answer
                assert file.name in answer.err
                assert os.strerror(code) in answer.err
                TALLY[DOOR, CLEAR] += 1


# Bytes


@examples(30)
@given(st.data())
def test_truncated_anywhere(damage, data):
    file = data.draw(st.sampled_from(damage.files))
    length = (damage.runs[0] / file).stat().st_size
    with damage.copy() as run:
        os.truncate(run / file, data.draw(st.integers(0, max(length - 1, 0))))
        damage.check(run, file, commands=("eval",))


@examples(60)
@given(st.data())
def test_any_bit_flipped(damage, data):
    unread, empty = "events", ".lock"
    files = [file for file in damage.files if not file.name.startswith((unread, empty))]
    file = data.draw(st.sampled_from(files))
    content = bytearray((damage.runs[0] / file).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with damage.copy() as run:
        (run / file).write_bytes(content)
        damage.check(run, file, commands=("eval",))


@examples(30)
@given(st.data())
def test_any_bytes_instead(damage, data):
    file = data.draw(st.sampled_from(damage.files))
    with damage.copy() as run:
        (run / file).write_bytes(data.draw(st.binary(max_size=300)))
        damage.check(run, file, commands=("eval",))


# Documents

DEEP = "[" * 100_000
OTHER = [None, True, -1, 0, 2, 1.5, 10**400, "", "x", "1", [], ["x"], {}, {"x": 1}]
TEXTS = [DEEP, '{"a":' * 100_000, "NaN", "[]", "null", '"text"', "1" * 5000, "{}", "\ufeff{}"]


def documents(damage):
    return [file for file in damage.files if file.suffix == ".json"]


def places(document, path=()):
    """Yield the path of every value in a JSON document."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in inner:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def edited(document, path, change):
    """Return a copy of a document; `change` is called with the innermost container and the key."""
    document = json.loads(json.dumps(document))
    container = document
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return document


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:8])
def test_other_documents(damage, text):
    for file in documents(damage):
        if len(text) > 10_000 and file.parts[0] == "checkpoints":
            continue  # see the next test
        with damage.copy() as run:
            (run / file).write_text(text, encoding="utf-8")
            damage.check(run, file)


def test_deep_documents_of_a_checkpoint(damage):
    for file in documents(damage):
        if file.parts[0] == "checkpoints":
            with damage.copy() as run:
                (run / file).write_text(DEEP)
                damage.check(run, file)


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, [], 10**30])
def test_other_format_versions(damage, version):
    for file in documents(damage):
        document = json.loads((damage.runs[0] / file).read_text())
        if "format" in document:
            with damage.copy() as run:
                (run / file).write_text(json.dumps({**document, "format": version}))
                damage.check(run, file)


def changes_of(damage):
    """Return every change of one value of one document: another value, or none."""
    found = []
    for file in documents(damage):
        document = json.loads((damage.runs[0] / file).read_text())
        for path in places(document):
            found.append((file, path, "delete"))
            found += [(file, path, other) for other in OTHER]
    return found


def change_one(damage, file, path, other):
    def change(container, key):
        if other == "delete":
            del container[key]
        else:
            container[key] = other

    document = json.loads((damage.runs[0] / file).read_text())
    with damage.copy() as run:
        (run / file).write_text(json.dumps(edited(document, path, change)))
        damage.check(run, file, commands=("eval",))


@examples(60)
@given(st.data())
def test_any_value_of_the_record(damage, data):
    record = [change for change in changes_of(damage) if change[0].name == "run.json"]
    read = [change for change in record if change[1][0] not in ("host", "rl", "owners", "compute")]
    change_one(damage, *data.draw(st.sampled_from(read)))


@examples(50)
@given(st.data())
def test_any_value_of_any_document(damage, data):
    change_one(damage, *data.draw(st.sampled_from(changes_of(damage))))


# Pointers


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"0", b"-16", b"+16", b"16.0", b"1e1", b" 16 \n\n", b"016", b"16\n32", b"../16",
     b"latest", b"best", b"\xff\xfe", b"9" * 5000, "²".encode(), b"16\x00"],
)  # fmt: skip
@pytest.mark.parametrize("pointer", ["latest", "best"])
def test_pointers(damage, pointer, content):
    with damage.copy() as run:
        (run / pointer).write_bytes(content)
        damage.check(run, pointer, options=("--checkpoint", pointer))


@pytest.mark.parametrize(
    "asked",
    ["", "0", "-1", "17", "016", "1e1", "16.0", "newest", "LATEST", "../../x", "²", "9" * 5000],
)
def test_checkpoints_that_are_not_there(damage, asked):
    with damage.copy() as run:
        before = everything_in(run)
        for command in QUICK:
            answer, _ = look(command, run, damage.out, f"--checkpoint={asked}")
            if asked.isascii() and asked.isdigit() and len(asked) < 10 and int(asked) == 16:
                assert answer.code == 0
                TALLY[DOOR, HARMLESS] += 1
                continue
            assert answer.code == 1, answer
            assert "no checkpoint" in answer.err
            assert "Steps with a checkpoint: 16, 32" in answer.err
            TALLY[DOOR, CLEAR] += 1
        assert everything_in(run) == before


@examples(20)
@given(st.text(max_size=8))
def test_any_checkpoint(damage, asked):
    if asked.strip() in ("latest", "best") or asked.isdecimal():
        return
    answer, _ = look("eval", damage.runs[0], damage.out, f"--checkpoint={asked}")
    assert answer.code == 1, answer
    assert "no checkpoint" in answer.err
    TALLY[DOOR, CLEAR] += 1


def test_a_run_that_holds_only_its_record(damage):
    with damage.copy() as run:
        for path in run.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "run.json":
                path.unlink()
        damage.check(run, "latest")
