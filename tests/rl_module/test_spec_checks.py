"""Specs say what a batch must look like; defects of facts 1.5 must not come back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motrix_rl.rl_module import (
    SpecCheckingError,
    SpecDict,
    TensorSpec,
    TypeSpec,
    check_input_specs,
    check_output_specs,
    convert_to_canonical_format,
)
from motrix_rl.rl_module.checks import is_input_decorated, is_output_decorated

KEYS = st.sampled_from("abcd")
LEAF_SPECS = st.one_of(
    st.none(),
    st.sampled_from([int, str, (int, str)]),
    st.builds(lambda h: TensorSpec("b, h", h=h, framework="np"), st.integers(1, 3)),
)
SPECS = st.recursive(LEAF_SPECS, lambda inner: st.dictionaries(KEYS, inner, max_size=3))
NESTED = st.dictionaries(KEYS, SPECS, max_size=3)


def fitting(spec):
    """Data that fits a spec in canonical form."""
    if isinstance(spec, SpecDict):
        return {key: fitting(inner) for key, inner in spec.items()}
    if spec is None:
        return object()
    if isinstance(spec, TensorSpec):
        return spec.fill()
    return (spec.dtype[0] if isinstance(spec.dtype, tuple) else spec.dtype)()


def leaf_paths(data, path=()):
    if not isinstance(data, dict):
        yield path
        return
    for key, inner in data.items():
        yield from leaf_paths(inner, (*path, key))


def without_path(data, path):
    copy = dict(data)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without_path(copy[path[0]], path[1:])
    return copy


# Canonical form


def test_keys_and_paths_in_a_list():
    assert convert_to_canonical_format(["obs", ("state", "h")]) == {
        "obs": None,
        "state": {"h": None},
    }


def test_a_list_keeps_siblings():
    assert convert_to_canonical_format([("e", "f"), ("e", "g")]) == {"e": {"f": None, "g": None}}


@pytest.mark.parametrize("keys", [["a", ("a", "b")], [("a", "b"), "a"]])
def test_a_nested_key_implies_its_parent(keys):
    assert convert_to_canonical_format(keys) == {"a": {"b": None}}


def test_mappings_are_converted_all_the_way_down():
    spec = convert_to_canonical_format({"a": {"b": int, "c": (int, str), "d": ["e"]}})
    assert spec == {
        "a": {"b": TypeSpec(int), "c": TypeSpec((int, str)), "d": {"e": None}},
    }
    with pytest.raises(SpecCheckingError, match="a/c: expected int or str, found float"):
        spec.validate({"a": {"b": 1, "c": 1.0, "d": {"e": 0}}})


def test_nothing_is_shared_with_what_the_user_wrote():
    written = {"a": {"b": int}}
    spec = convert_to_canonical_format(written)
    written["a"]["c"] = str
    assert spec == {"a": {"b": TypeSpec(int)}}


@pytest.mark.parametrize("bad", [3, "obs", (), (1, 2), [3], [()], {1: None}, {"a": 3}])
def test_what_is_no_spec_is_refused(bad):
    with pytest.raises(ValueError):
        convert_to_canonical_format(bad)


def test_single_forms():
    assert convert_to_canonical_format(None) is None
    assert convert_to_canonical_format(int) == TypeSpec(int)
    assert convert_to_canonical_format({}) == SpecDict()


@given(NESTED)
def test_canonical_form_is_a_fixed_point(written):
    spec = convert_to_canonical_format(written)
    assert convert_to_canonical_format(spec) == spec


# Validation


@given(NESTED, st.data())
def test_generated_data_fits_and_every_missing_leaf_is_found(written, data):
    spec = convert_to_canonical_format(written)
    batch = fitting(spec)
    spec.validate(batch, exact_match=True)
    assert SpecDict.is_subset(spec, {**batch, "more": 1})
    paths = [path for path in leaf_paths(batch) if path]
    if paths:
        path = data.draw(st.sampled_from(paths))
        with pytest.raises(SpecCheckingError, match="/".join(path)):
            spec.validate(without_path(batch, path))


@given(NESTED)
def test_exact_match_refuses_more(written):
    spec = convert_to_canonical_format(written)
    with pytest.raises(SpecCheckingError, match="more is not declared"):
        spec.validate({**fitting(spec), "more": 1}, exact_match=True)


def test_the_error_shows_what_is_there():
    with pytest.raises(SpecCheckingError, match=r"obs is missing.*has: state/h"):
        convert_to_canonical_format(["obs"]).validate({"state": {"h": 1}})


def test_a_leaf_where_a_mapping_should_be():
    with pytest.raises(SpecCheckingError, match="a should be a mapping"):
        convert_to_canonical_format([("a", "b")]).validate({"a": 3})
    assert issubclass(SpecCheckingError, ValueError)


# TensorSpec


def test_tensor_spec_shapes():
    spec = TensorSpec("b, h", h=3)
    assert spec.shape == ("b", 3)
    assert spec.full_shape == (1, 3)
    assert spec.rdrop(0) == spec
    assert spec.rdrop(1).full_shape == (1,)
    assert spec.append(TensorSpec("w", w=2)).full_shape == (1, 3, 2)
    assert spec == TensorSpec("b, h", h=3, framework="np")
    assert spec != TensorSpec("b, h", h=3, dtype=np.float32)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        ("b, b", {}),
        ("b", {"h": 3}),
        ("h", {"h": 0}),
        ("h", {"h": 1.5}),
        ("b", {"framework": "tf3"}),
    ],
)
def test_tensor_spec_refuses(names, options):
    with pytest.raises(ValueError):
        TensorSpec(names, **options)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (np.zeros((2, 4)), "expected shape"),
        (np.zeros(3), "expected shape"),
        (np.zeros((2, 3), np.float64), "expected float32"),
        ([[1, 2, 3]], "expected an array"),
    ],
)
def test_tensor_spec_finds(data, problem):
    with pytest.raises(SpecCheckingError, match=problem):
        TensorSpec("b, h", h=3, dtype=np.float32, framework="np").validate(data)


def test_fill():
    assert TensorSpec("b, h", h=2, framework="np", dtype=np.int32).fill(7).tolist() == [[7, 7]]
    with pytest.raises(ValueError, match="names no framework"):
        TensorSpec("b").fill()
    with pytest.raises(ValueError, match="cannot drop"):
        TensorSpec("b").rdrop(2)


# Decorators


class Doubler:
    spec_in = convert_to_canonical_format({"x": TensorSpec("b")})
    spec_out = convert_to_canonical_format(["y"])
    answer = "y"
    calls = 0

    @check_input_specs("spec_in")
    @check_output_specs("spec_out")
    def run(self, batch):
        """Double."""
        self.calls += 1
        return {self.answer: batch["x"]}

    @check_input_specs("spec_in", only_check_on_retry=True)
    def run_first(self, batch):
        return batch["x"].sum()

    @check_input_specs("nowhere")
    def lost(self, batch):
        return batch

    @check_output_specs("spec_out")
    def none(self, batch):
        return None


X = np.zeros(3)


def test_a_wrong_input_never_reaches_the_method():
    doubler = Doubler()
    with pytest.raises(SpecCheckingError, match=r"the input of run of Doubler: x: expected shape"):
        doubler.run({"x": np.zeros((3, 3))})  # would not have crashed
    assert doubler.calls == 0


def test_a_wrong_output_is_found_even_after_a_right_one():
    doubler = Doubler()
    doubler.run({"x": X})
    doubler.answer = "z"
    with pytest.raises(SpecCheckingError, match=r"the output of run .* y is missing"):
        doubler.run({"x": X})


def test_a_replaced_spec_counts_at_once():
    doubler = Doubler()
    doubler.run({"x": X})
    doubler.spec_in = convert_to_canonical_format(["other"])
    with pytest.raises(SpecCheckingError):
        doubler.run({"x": X})


def test_checking_on_retry_explains_a_crash_only():
    doubler = Doubler()
    with pytest.raises(SpecCheckingError) as caught:
        doubler.run_first({"x": "text"})
    assert isinstance(caught.value.__cause__, AttributeError)
    assert doubler.run_first({"x": X}) == 0


def test_a_missing_attribute_and_a_non_mapping():
    with pytest.raises(SpecCheckingError, match="no attribute 'nowhere'"):
        Doubler().lost({})
    with pytest.raises(SpecCheckingError, match="should be a mapping, not a NoneType"):
        Doubler().none({})


def test_memory_of_structures_is_bounded():
    doubler = Doubler()
    for n in range(200):
        doubler.run({"x": np.zeros(n)})
    assert len(doubler._checked_structures) <= 64


def test_marks_and_names():
    assert is_input_decorated(Doubler.run)
    assert is_output_decorated(Doubler.none)
    assert not is_input_decorated(Doubler.none)
    assert Doubler.run.__doc__ == "Double."
