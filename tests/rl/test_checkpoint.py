"""Checkpoints come back bit for bit, or not at all."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from motrix_rl.checkpoint import (
    Checkpoint,
    checkpoint_hash,
    checkpoint_names,
    is_checkpoint,
    read_checkpoint,
    read_hash,
    read_module,
    write_checkpoint,
)
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module.folders import Content

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
FILES = (
    *("module/manifest.json", "module/module.json", "module/weights.safetensors"),
    *("learner.safetensors", "env.safetensors", "state.json"),
)
GROUPS = ("module", "learner", "env")


def example(**changes):
    """A small checkpoint; the values are fixed, so that its hash is."""
    weights = {"w": np.arange(8, dtype=np.float32).reshape(4, 2), "b": np.zeros(2, np.float32)}
    made = Checkpoint(
        module=policy(weights),
        learner={"adam/step": np.array(7, np.int64), "value/mean": np.array(0.5)},
        env={"rng": np.array([1, 2, 3], np.uint32), "done": np.array([True, False])},
        state={"counters": {"steps": 64, "updates": 2}, "lr": 3e-4, "logs": {"metrics": 120}},
    )
    return dataclasses.replace(made, **changes)


def in_its_folder(name):
    """Return how a message calls a file: the module's files belong to a folder of their own."""
    return name if name == "module/manifest.json" else name.removeprefix("module/")


def policy(weights):
    return Content({"kind": "mlp", "layers": [4, 2], "contract": {"dt": 0.02}}, weights)


def tensors_of(checkpoint, group):
    found = getattr(checkpoint, group)
    return found.tensors if group == "module" else found


def with_tensors(checkpoint, group, tensors):
    changed = policy(tensors) if group == "module" else tensors
    return dataclasses.replace(checkpoint, **{group: changed})


def assert_same(left, right):
    assert left.module.document == right.module.document
    assert left.module.components.keys() == right.module.components.keys()
    assert left.state == right.state
    for group in GROUPS:
        assert_same_tensors(tensors_of(left, group), tensors_of(right, group))


def assert_same_tensors(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype, name
        assert left[name].shape == right[name].shape, name
        assert left[name].tobytes() == right[name].tobytes(), name


# Round trips


def test_round_trip(tmp_path):
    digest = write_checkpoint(tmp_path / "runs" / "5", example())
    assert_same(read_checkpoint(tmp_path / "runs" / "5"), example())
    assert read_hash(tmp_path / "runs" / "5") == digest == checkpoint_hash(example())


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_and_shape_survives(tmp_path, dtype, shape):
    values = {"x": np.ones(shape, dtype)}
    write_checkpoint(tmp_path / "c", example(module=policy(values), learner=values, env=values))
    back = read_checkpoint(tmp_path / "c")
    for group in GROUPS:
        assert_same_tensors(tensors_of(back, group), values)


def test_nan_payloads_and_signed_zeros_survive(tmp_path):
    odd = np.array([0x7FC00001, 0x7F800001, 0x80000000, 0xFF800000], np.uint32).view(np.float32)
    write_checkpoint(tmp_path / "c", example(env={"odd": odd}))
    assert_same_tensors(read_checkpoint(tmp_path / "c").env, {"odd": odd})


def test_layout_in_memory_does_not_matter(tmp_path):
    plain = np.arange(12, dtype=np.float32).reshape(3, 4)
    for other in (np.asfortranarray(plain), plain.astype(">f4"), np.repeat(plain, 2, 0)[::2]):
        digest = write_checkpoint(tmp_path / "c", example(learner={"x": other}))
        assert digest == checkpoint_hash(example(learner={"x": plain}))
        assert_same_tensors(read_checkpoint(tmp_path / "c").learner, {"x": plain})


def test_arrays_come_back_writable_and_sorted(tmp_path):
    write_checkpoint(tmp_path / "c", example())
    weights = read_checkpoint(tmp_path / "c").module.tensors
    assert list(weights) == ["b", "w"]
    weights["w"] += 1


def test_numpy_numbers_and_tuples_become_json(tmp_path):
    state = {"counters": {"steps": np.int64(3)}, "shape": (1, 2), "lr": np.float64(0.5)}
    write_checkpoint(tmp_path / "c", example(state=state))
    back = read_checkpoint(tmp_path / "c").state
    assert back == {"counters": {"steps": 3}, "shape": [1, 2], "lr": 0.5}


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
)
tensors = st.dictionaries(names.filter(lambda name: name != "__metadata__"), arrays, max_size=4)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
documents = st.dictionaries(
    st.text(max_size=5),
    st.recursive(numbers | st.text() | st.none(), st.lists, max_leaves=5),
    max_size=4,
)


@given(
    document=documents.map(lambda found: {k: v for k, v in found.items() if k != "components"}),
    weights=tensors,
    learner=tensors,
    env=tensors,
    counters=documents,
)
def test_random_checkpoints_round_trip(tmp_path_factory, document, weights, learner, env, counters):
    folder = tmp_path_factory.mktemp("random") / "c"
    written = Checkpoint(Content(document, weights), learner, env, {"counters": counters})
    digest = write_checkpoint(folder, written)
    back = read_checkpoint(folder)
    assert_same(back, written)
    assert checkpoint_hash(back) == digest
    assert_same_tensors(read_module(folder).tensors, weights)
    shutil.rmtree(folder)


# The hash


def test_hash_of_the_example_is_pinned():
    # A change here breaks the comparison with every run that exists: raise FORMAT with it.
    pinned = "7d784d893d1bed5276a7704f71854f38175e317846573361b094636d6efb06d7"
    assert checkpoint_hash(example()) == pinned


def test_hash_ignores_dict_order_and_process():
    code = (
        "import runpy, sys; here = runpy.run_path(sys.argv[1]);"
        "print(here['checkpoint_hash'](here['shuffled']()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, __file__]
    printed = subprocess.check_output(command, env=environment, text=True)
    assert printed.strip() == checkpoint_hash(shuffled()) == checkpoint_hash(example())


def shuffled():
    made = example()
    counters = dict(reversed(made.state["counters"].items()))
    for group in GROUPS:
        made = with_tensors(made, group, dict(reversed(tensors_of(made, group).items())))
    return dataclasses.replace(made, state={**made.state, "counters": counters})


def test_hash_ignores_everything_but_tensors_and_counters(tmp_path):
    other = example(
        module=Content({"kind": "other"}, example().module.tensors),
        state={"time": 1.5, "path": "elsewhere", "counters": example().state["counters"]},
    )
    assert write_checkpoint(tmp_path / "a", example()) == write_checkpoint(tmp_path / "b", other)


@pytest.mark.parametrize("group", GROUPS)
def test_hash_sees_every_bit_of_every_tensor(group):
    seen = {checkpoint_hash(example())}
    count = 1
    for name, array in tensors_of(example(), group).items():
        for byte in range(array.nbytes):
            for bit in range(1 if array.dtype == bool else 8):
                raw = bytearray(array.tobytes())
                raw[byte] ^= 1 << bit
                flipped = np.frombuffer(raw, array.dtype).reshape(array.shape)
                values = {**tensors_of(example(), group), name: flipped}
                seen.add(checkpoint_hash(with_tensors(example(), group, values)))
                count += 1
    assert len(seen) == count


def test_hash_sees_names_groups_types_shapes_and_counters():
    x = np.zeros(4, np.float32)
    empty = Content({})
    variants = [
        Checkpoint(empty),
        Checkpoint(Content({}, {"x": x})),
        Checkpoint(empty, learner={"x": x}),
        Checkpoint(empty, env={"x": x}),
        Checkpoint(Content({}, {"y": x})),
        Checkpoint(Content({}, {"x": x.reshape(2, 2)})),
        Checkpoint(Content({}, {"x": x.view(np.int32)})),
        Checkpoint(Content({}, {"x": x[:2], "y": x[2:]})),
        Checkpoint(empty, state={"counters": {"n": 0}}),
        Checkpoint(empty, state={"counters": {"n": 1}}),
        Checkpoint(empty, state={"counters": {"n": 1.0}}),
        Checkpoint(empty, state={"counters": {"n": -0.0}}),
    ]
    assert len({checkpoint_hash(variant) for variant in variants}) == len(variants)


# Damage


@pytest.fixture
def folder(tmp_path):
    write_checkpoint(tmp_path / "5", example())
    return tmp_path / "5"


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(folder, name):
    data = (folder / name).read_bytes()
    for length in (0, 1, len(data) - 1):
        (folder / name).write_bytes(data[:length])
        with pytest.raises(
            CheckpointError,
            match=f"{in_its_folder(name)}: (it has {length} bytes|it is not JSON|it bel)",
        ):
            read_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_found(folder, name):
    data = (folder / name).read_bytes()
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1
        (folder / name).write_bytes(flipped)
        with pytest.raises(
            CheckpointError, match=rf"{in_its_folder(name)}.*Use another checkpoint"
        ):
            read_checkpoint(folder)


@pytest.mark.parametrize("mask", [1, 16, 255])
def test_a_flipped_byte_of_the_manifest_is_found(folder, mask):
    data = (folder / "manifest.json").read_bytes()
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= mask
        (folder / "manifest.json").write_bytes(flipped)
        with pytest.raises(
            CheckpointError, match="|".join(("manifest.json", *map(in_its_folder, FILES)))
        ):
            read_checkpoint(folder)


@pytest.mark.parametrize("length", [0, 1, 200])
def test_a_truncated_manifest_is_named(folder, length):
    os.truncate(folder / "manifest.json", length)
    with pytest.raises(CheckpointError, match=r"manifest\.json: it is not JSON"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"incomplete: {in_its_folder(name)} is missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("one", "other"), [(a, b) for i, a in enumerate(FILES) for b in FILES[i + 1 :]]
)
def test_swapped_files_are_named(folder, one, other):
    left, right = (folder / one).read_bytes(), (folder / other).read_bytes()
    (folder / one).write_bytes(right)
    (folder / other).write_bytes(left)
    with pytest.raises(
        CheckpointError, match=f"damaged: ({in_its_folder(one)}|{in_its_folder(other)})"
    ):
        read_checkpoint(folder)


def test_a_file_of_another_checkpoint_is_refused(folder, tmp_path):
    weights = {name: array + 1 for name, array in example().module.tensors.items()}
    write_checkpoint(tmp_path / "6", example(module=policy(weights)))
    shutil.copy(tmp_path / "6/module/weights.safetensors", folder / "module/weights.safetensors")
    with pytest.raises(CheckpointError, match=r"module is damaged: weights\.safetensors.*SHA-256"):
        read_checkpoint(folder)


@pytest.mark.parametrize("version", [0, 1, "2", True, None])
def test_another_format_version_is_refused(folder, version):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": version}))
    with pytest.raises(CheckpointError, match=f"format version {version!r}"):
        read_module(folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 2, "files": []}'])
def test_a_foreign_manifest_is_refused(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        read_checkpoint(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        read_checkpoint(tmp_path / "5")


def test_a_policy_reads_without_the_rest(folder):
    for name in ("learner.safetensors", "env.safetensors", "state.json"):
        (folder / name).unlink()
    module = read_module(folder)
    assert module.document == example().module.document
    assert_same_tensors(module.tensors, example().module.tensors)


def test_a_damaged_policy_is_refused(folder):
    os.truncate(folder / "module/weights.safetensors", 10)
    with pytest.raises(CheckpointError, match="weights"):
        read_module(folder)


def test_what_cannot_be_opened_is_said(folder, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", refuse(errno.EACCES))
    with pytest.raises(CheckpointError, match=r"cannot read .*Change the permissions"):
        read_checkpoint(folder)


# Writing


def refuse(code):
    def refusing(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    return refusing


def newer():
    return example(state={"counters": {"steps": 128}})


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_replaces_one_of_the_same_name(folder):
    write_checkpoint(folder, newer())
    assert_same(read_checkpoint(folder), newer())
    assert entries(folder.parent) == ["5"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_rename_leaves_the_old_checkpoint(folder, monkeypatch, failing):
    calls, replace = [], os.replace

    def fail_once(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(CheckpointError, match=r"cannot write .*5: Input/output error"):
        write_checkpoint(folder, newer())
    assert_same(read_checkpoint(folder), example())
    assert entries(folder.parent) == ["5"]


class Killed(BaseException):
    """The process ends here; nothing may clean up."""


def test_a_crash_before_the_rename_leaves_the_old_checkpoint(folder, monkeypatch):
    def killed(*_args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)
        with pytest.raises(Killed):
            write_checkpoint(folder, newer())
    assert entries(folder.parent) == [".tmp-motrix-5", "5"]
    assert checkpoint_names(folder.parent) == ["5"]
    assert_same(read_checkpoint(folder), example())

    write_checkpoint(folder.with_name("6"), newer())
    assert entries(folder.parent) == ["5", "6"]


def test_a_crash_between_the_renames_leaves_the_old_checkpoint(folder, monkeypatch):
    replace = os.replace

    def killed_after_the_first(source, target):
        if Path(source).name.startswith(".tmp"):
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed_after_the_first)
        with pytest.raises(Killed):
            write_checkpoint(folder, newer())
    assert entries(folder.parent) == [".old-motrix-5"]
    assert checkpoint_names(folder.parent) == ["5"]
    assert is_checkpoint(folder)
    assert_same(read_checkpoint(folder), example())
    assert read_module(folder).document == example().module.document

    write_checkpoint(folder.with_name("6"), newer())
    assert_same(read_checkpoint(folder), example())
    write_checkpoint(folder, newer())
    assert_same(read_checkpoint(folder), newer())
    assert entries(folder.parent) == ["5", "6"]


def test_a_replaced_checkpoint_left_behind_is_removed(folder):
    shutil.copytree(folder, folder.with_name(".old-motrix-5"))
    write_checkpoint(folder.with_name("6"), newer())
    assert entries(folder.parent) == ["5", "6"]


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "Free some space"), (errno.EACCES, "permissions")]
)
def test_a_disk_that_refuses(folder, monkeypatch, code, advice):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse(code))
        with pytest.raises(CheckpointError, match=f"5: {os.strerror(code)}.*{advice}") as raised:
            write_checkpoint(folder, newer())
    assert isinstance(raised.value.__cause__, OSError)
    assert_same(read_checkpoint(folder), example())
    assert entries(folder.parent) == ["5"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "5").mkdir()
    write_checkpoint(tmp_path / "5", example())
    assert_same(read_checkpoint(tmp_path / "5"), example())


def test_what_is_no_checkpoint_is_not_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("one")
    for target in ("thesis", "thesis/chapter.txt"):
        with pytest.raises(CheckpointError, match="something else is there"):
            write_checkpoint(tmp_path / target, example())
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "one"


@pytest.mark.parametrize(
    "values",
    [
        {"x": np.array([object()])},
        {"x": np.array(["text"])},
        {"x": np.array([1j])},
        {"x": np.array(["2020-01-01"], "datetime64[D]")},
        {"x": np.zeros(2, [("a", "f4")])},
        {"__metadata__": np.zeros(2)},
        {"\ud800": np.zeros(2)},
    ],
)
def test_a_tensor_without_a_portable_form_is_refused(tmp_path, values):
    with pytest.raises(CheckpointError, match="learner tensor"):
        write_checkpoint(tmp_path / "c", example(learner=values))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({3: 4}, "state: a has the key 3"),
        (float("nan"), "state: a is nan"),
        ([1, {"b": np.zeros(2)}], r"state: a\[1\]: b is of type ndarray"),
        (Path("x"), "Path"),
    ],
)
def test_state_that_json_cannot_hold_is_refused(tmp_path, value, match):
    with pytest.raises(CheckpointError, match=match):
        write_checkpoint(tmp_path / "c", example(state={"a": value}))
