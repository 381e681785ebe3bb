"""To disk and back: without loss, without pickle, and never half."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import (
    Checkpointable,
    MultiRLModuleSpec,
    PPOCatalog,
    PPONumpyRLModule,
    RLModule,
    RLModuleSpec,
    StateMismatchError,
    UntrustedClassError,
    states,
    tensors,
)
from motrix_rl.rl_module.folders import Content, read_metadata

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(name) for name in ("bool", "int8", "uint16", "int64", "float16", "float32")]
DTYPES += [np.dtype(np.float64), np.dtype(np.complex64)]


class Box(Checkpointable):
    """Holds any state, and parts of its own kind."""

    def __init__(self, label="", parts=()):
        self.label = label
        self.state = {}
        self.parts = {name: Box(name) for name in parts}

    def get_state(self, components=None, *, not_components=None, **kwargs):
        whole = {**self.state, **{name: part.get_state() for name, part in self.parts.items()}}
        return states.select(whole, components, not_components)

    def set_state(self, state):
        self.state = {k: v for k, v in state.items() if k not in self.parts}
        for name, part in self.parts.items():
            part.set_state(state[name])

    def get_ctor_args_and_kwargs(self):
        return (self.label,), {"parts": tuple(self.parts)}

    def get_checkpointable_components(self):
        return list(self.parts.items())


def assert_same(left, right):
    one, two = states.flatten(left), states.flatten(right)
    assert one.keys() == two.keys()
    for path, leaf in one.items():
        if isinstance(leaf, np.ndarray):
            assert (leaf.dtype, leaf.shape) == (two[path].dtype, two[path].shape), path
            assert leaf.tobytes() == two[path].tobytes(), path
        else:
            assert leaf == two[path]
            assert type(leaf) is type(two[path])


def bytes_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Without loss

ARRAYS = st.one_of(
    hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    st.just(np.array([1.5, -2.0, np.inf], BFLOAT16)),
    st.just(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=5)
STATES = st.recursive(
    st.dictionaries(NAMES, st.one_of(ARRAYS, PLAIN), max_size=4),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(state=STATES)
def test_states_come_back(state, tmp_path):
    box = Box("one")
    box.state = state
    again = Box.from_checkpoint(box.save_to_path(tmp_path / "box"))
    assert again.label == "one"
    assert_same(again.get_state(), state)


def test_what_the_reference_loses_survives(tmp_path):
    box = Box()
    box.state = {
        "counter": np.array(2**40),
        "statistics": np.array([1 / 3], np.float64),
        "half": np.array([1.0, 2.0], BFLOAT16),
        "scalar": np.array(0.1, np.float32),
        "big-endian": np.arange(3, dtype=">i4"),
    }
    again = Box.from_checkpoint(box.save_to_path(tmp_path / "x")).state
    assert again["counter"] == 2**40
    assert again["statistics"][0] == 1 / 3
    assert again["half"].dtype == BFLOAT16
    assert (again["scalar"].shape, again["scalar"].dtype) == ((), np.float32)
    assert again["big-endian"].tolist() == [0, 1, 2]
    again["counter"] += 1  # loaded arrays own their memory


@pytest.mark.parametrize(
    "leaf", [np.array(["text"]), np.array([object()]), object(), np.zeros(1, np.complex128)]
)
def test_what_cannot_be_stored_is_refused(leaf, tmp_path):
    box = Box()
    box.state = {"x": {"y": leaf}}
    with pytest.raises(ValueError, match="x/y"):
        box.save_to_path(tmp_path / "box")
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_without_its_package_says_so(monkeypatch):
    data = tensors.to_bytes({"x": np.ones(2, BFLOAT16)})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(CheckpointError, match="pip install ml_dtypes"):
        tensors.from_bytes(data)


def test_equal_states_are_equal_bytes(tmp_path):
    box = Box("a", ("b", "c"))
    box.state = {"x": np.ones(3), "y": 4}
    for name in ("one", "two"):
        box.save_to_path(tmp_path / name)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


# Folders


def test_components_have_their_own_folders(tmp_path):
    box = Box("a", ("b", "c"))
    box.parts["b"].state = {"x": np.ones(1)}
    path = box.save_to_path(tmp_path / "deep" / "er")
    assert_same(Box.from_checkpoint(path).get_state(), box.get_state())
    assert_same(Box.from_checkpoint(Path(path) / "b").state, {"x": np.ones(1)})
    other = Box("a", ("b", "c"))
    other.restore_from_path(f"{path}/b", component="c")
    assert other.parts["c"].state.keys() == {"x"}


def test_a_given_state_may_leave_components_out(tmp_path):
    box = Box("a", ("b", "c"))
    box.save_to_path(tmp_path / "x", state={"own": 1, "c": {"z": 2}})
    assert sorted(p.name for p in (tmp_path / "x").iterdir() if p.is_dir()) == ["c"]


def test_no_path_means_a_temporary_folder():
    path = Path(Box().save_to_path())
    assert read_metadata(path)["checkpoint_version"] == 1
    shutil.rmtree(path)


def test_replacing_and_refusing(tmp_path):
    box, target = Box(), tmp_path / "x"
    target.mkdir()  # an empty folder may be used
    box.save_to_path(target)
    box.state = {"new": 1}
    box.save_to_path(target)
    assert Box.from_checkpoint(target).state == {"new": 1}
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.txt").write_text("text")
    with pytest.raises(CheckpointError, match="no checkpoint is there"):
        box.save_to_path(foreign)
    assert (foreign / "chapter.txt").read_text() == "text"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis", "x"]


def test_no_folder():
    for use in (Box.from_checkpoint, Box().restore_from_path):
        with pytest.raises(FileNotFoundError):
            use("/no/such/folder")


def test_changes_to_constructor_arguments(tmp_path):
    path = Box("a").save_to_path(tmp_path / "x")
    with pytest.raises(TypeError):
        Box.from_checkpoint(path, colour="red")


def test_inside_a_larger_checkpoint():
    box = Box("a")
    box.state = {"x": {"y": np.ones(2)}, "n": 3}
    content = box.to_content()
    document = json.loads(json.dumps(content.document))
    again = Box.from_content(Content(document, content.tensors))
    assert again.label == "a"
    assert_same(again.state, box.state)
    nested = Box("a", ("b",))
    nested.parts["b"].state = {"z": np.arange(3)}
    assert_same(Box.from_content(nested.to_content()).parts["b"].state, nested.parts["b"].state)
    with pytest.raises(UntrustedClassError):
        Box.from_content(Content({**document, "class": "os:system"}, content.tensors))


def test_an_interrupted_replacement_is_still_found(tmp_path, monkeypatch):
    box, target = Box(), tmp_path / "x"
    box.state = {"old": 1}
    box.save_to_path(target)
    target.rename(tmp_path / ".old-motrix-x")  # killed between the two renames
    assert Box.from_checkpoint(target).state == {"old": 1}
    box.state = {"new": 1}
    box.save_to_path(target)
    assert Box.from_checkpoint(target).state == {"new": 1}


def test_a_failing_rename_puts_the_old_one_back(tmp_path, monkeypatch):
    box, target = Box(), tmp_path / "x"
    box.save_to_path(target)
    before, rename = bytes_of(target), Path.replace

    def fail(self, to):
        if self.name.startswith(".tmp"):
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", fail)
    box.state = {"new": 1}
    with pytest.raises(CheckpointError, match="No space left"):
        box.save_to_path(target)
    assert bytes_of(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


# Damage

SPEC = RLModuleSpec(
    PPONumpyRLModule,
    spaces.Box(-1, 1, (3,)),
    spaces.Discrete(2),
    model_config_dict={"hidden": [3], "seed": 1, "normalize_observations": True},
    catalog_class=PPOCatalog,
)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A checkpoint of two modules: its files, and the module itself."""
    folder = tmp_path_factory.mktemp("healthy") / "multi"
    module = MultiRLModuleSpec(module_specs={"a": SPEC, "b": SPEC}).build()
    module.save_to_path(folder)
    return bytes_of(folder), module


def damage(data, rng):
    """Return other bytes: changed, cut, longer, shifted, or emptied."""
    at = int(rng.integers(len(data)))
    kind = rng.integers(6)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + rng.bytes(int(rng.integers(1, 20))) + data[at:]
    if kind == 3:
        return data[:at] + data[at + 1 :]
    if kind == 4:
        return data[:at] + bytes([int(rng.integers(256))]) * (len(data) - at)
    return b""


def test_a_thousand_damaged_checkpoints(healthy, tmp_path):
    files, module = healthy
    names = sorted(files)
    outcomes = {"error": 0, "identical": 0}
    for number in range(1000):
        rng = np.random.default_rng(number)
        folder = tmp_path / str(number % 2)  # each round writes all files anew
        broken = dict(files)
        name = names[rng.integers(len(names))]
        action = rng.integers(10)
        if action == 0:
            del broken[name]
        elif action == 1:
            broken[name] = files[names[rng.integers(len(names))]]
        else:
            broken[name] = damage(files[name], rng)
        shutil.rmtree(folder, ignore_errors=True)
        for path, data in broken.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        try:
            loaded = RLModule.from_checkpoint(folder)
        except CheckpointError as error:
            assert str(error)
            outcomes["error"] += 1
        else:
            assert_same(loaded.get_state(), module.get_state())
            assert loaded.config == module.config
            outcomes["identical"] += 1
    assert outcomes["error"] > 900


def rewrite(folder, changed):
    """Change module.json and put the right checksum into the manifest, as an attacker would."""
    document = json.loads((folder / "module.json").read_text())
    changed(document)
    data = json.dumps(document).encode()
    (folder / "module.json").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["files"]["module.json"] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest))


EVIL_CLASSES = ["os.system", "os:system", "motrix_rl.x:os.system", "builtins:exec", "socket:socket"]


@pytest.fixture
def saved(tmp_path):
    module = SPEC.build()
    return Path(module.save_to_path(tmp_path / "m"))


@pytest.mark.parametrize("loader", [RLModule, PPONumpyRLModule, Checkpointable])
@pytest.mark.parametrize("path", EVIL_CLASSES)
def test_an_evil_class_fails_closed(saved, path, loader, monkeypatch):
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("ran"))
    rewrite(saved, lambda document: document.update({"class": path}))
    with pytest.raises(UntrustedClassError):
        loader.from_checkpoint(saved)


@pytest.mark.parametrize("path", EVIL_CLASSES)
@pytest.mark.parametrize("place", ["config", "catalog", "argument"])
def test_evil_arguments_fail_closed(saved, path, place):
    def change(document):
        if place == "config":
            document["args"][0]["$config"][0] = path
        elif place == "catalog":
            document["args"][0]["$config"][1]["catalog_class_path"] = path
        else:
            document["kwargs"] = {"observation_space": {"$class": path}}

    rewrite(saved, change)
    with pytest.raises(CheckpointError):
        RLModule.from_checkpoint(saved)


def test_a_class_of_the_wrong_kind(saved):
    path = "motrix_rl.rl_module.ppo:PPOCatalog"
    rewrite(saved, lambda document: document.update({"class": path}))
    with pytest.raises(UntrustedClassError, match="not derived from RLModule"):
        RLModule.from_checkpoint(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update({"class": None}),
        lambda d: d.pop("class"),
        lambda d: d.pop("args"),
        lambda d: d.update(args=3),
        lambda d: d.update(kwargs=[1]),
        lambda d: d.update(values=[1]),
        lambda d: d.update(values={"pi/out/bias": 1}),
        lambda d: d.update(values={"pi": 1}),
        lambda d: d.update(components=["../m"]),
        lambda d: d.update(components="a"),
        lambda d: d["args"][0]["$config"][1].pop("action_space"),
        lambda d: d["args"][0]["$config"][1].update(model_config_dict=[1]),
    ],
)
def test_inconsistent_documents(saved, change):
    rewrite(saved, change)
    with pytest.raises(CheckpointError):
        RLModule.from_checkpoint(saved)


def test_deep_json_is_an_error(saved):
    data = b"[" * 200_000
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "module.json").write_bytes(data)
    manifest["files"]["module.json"] = {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError):
        RLModule.from_checkpoint(saved)


def test_weights_of_another_module_are_refused_whole(saved, tmp_path):
    other = RLModuleSpec(**{**vars(SPEC), "model_config_dict": {"hidden": [9]}}).build()
    before = other.get_state()
    with pytest.raises(StateMismatchError, match=r"missing|misshapen"):
        other.restore_from_path(saved)
    assert_same(other.get_state(), before)


def test_a_class_of_a_script_loads_through_itself(tmp_path):
    class Local(PPONumpyRLModule):
        pass

    module = Local(SPEC.get_rl_module_config())
    path = module.save_to_path(tmp_path / "m")
    assert isinstance(Local.from_checkpoint(path), Local)
    with pytest.raises(UntrustedClassError):
        RLModule.from_checkpoint(path)
    # It may compute something else, so the kind of its base class does not cover it.
    with pytest.raises(UntrustedClassError):
        PPONumpyRLModule.from_checkpoint(path)


def test_a_renamed_class_does_not_break_a_checkpoint(saved):
    """A later version may move the class; the kind still tells what it is."""
    rewrite(saved, lambda document: document.update({"class": "motrix_rl.gone:OldName"}))
    assert PPONumpyRLModule.from_checkpoint(saved).act(np.zeros((1, 3)))[0].shape == (1,)
    with pytest.raises(CheckpointError, match="cannot import"):
        RLModule.from_checkpoint(saved)


# Inference only, on disk


@pytest.mark.parametrize("shared", [True, False])
def test_inference_only_on_disk(tmp_path, shared):
    config = {"hidden": [3], "vf_share_layers": shared}
    module = RLModuleSpec(**{**vars(SPEC), "model_config_dict": config}).build()
    small = module.save_to_path(tmp_path / "small", inference_only=True)
    names = tensors.from_bytes((tmp_path / "small/weights.safetensors").read_bytes())
    assert not [name for name in names if "vf" in name or "critic" in name]
    whole = module.save_to_path(tmp_path / "whole")
    obs = np.ones((2, 3), np.float32)
    for loaded in (
        RLModule.from_checkpoint(small),
        RLModule.from_checkpoint(whole, inference_only=True),
    ):
        assert loaded.inference_only
        assert not [path for path in states.flatten(loaded.get_state()) if "vf" in path]
        np.testing.assert_array_equal(loaded.act(obs)[0], module.act(obs)[0])
    with pytest.raises(StateMismatchError, match=r"missing: .*vf/out/bias"):
        RLModule.from_checkpoint(small, inference_only=False)
