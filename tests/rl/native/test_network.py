"""Machine code for MLPs: right numbers for any sizes, and the same ones whatever surrounds them."""

import numpy as np
import pytest
from motrix_rl.native import kernels, network, plan, products
from motrix_rl.native.available import is_available
from motrix_rl.native.calls import Program, zeros
from motrix_rl.native.compiler import Processor, processor
from motrix_rl.native.network import Network
from motrix_rl.native.plan import TILE, Plan, padded

FORWARD = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "tanh": np.tanh,
}
SLOPE = {
    "linear": lambda out: np.ones_like(out),
    "relu": lambda out: np.where(out > 0, 1.0, 0.0),
    "elu": lambda out: np.where(out > 0, 1.0, out + 1),
    "tanh": lambda out: 1 - out**2,
}
SIZES = {
    "what cartpole has": ((4, 64, 64, 1), ("elu", "elu", "linear")),
    "odd widths": ((7, 33, 3, 2), ("relu", "tanh", "tanh")),
    "one layer": ((5, 1), ("linear",)),
    "one wide layer": ((3, 130), ("elu",)),
    "narrow in the middle": ((20, 4, 70, 6), ("tanh", "elu", "linear")),
    "long sums": ((5, 200, 7), ("elu", "linear")),
    "a vector more": ((17, 81, 16, 17), ("relu", "elu", "relu")),
}
PROCESSORS = {"this one": None, "AVX": Processor("avx", 8, 16), "SSE": Processor("sse", 4, 16)}
by_size = pytest.mark.parametrize(("widths", "activations"), SIZES.values(), ids=SIZES.keys())


@pytest.fixture(params=PROCESSORS.values(), ids=PROCESSORS.keys())
def cpu(request, monkeypatch):
    """Write code as for another processor, which this one understands."""
    if request.param is not None:
        for module in (plan, kernels, products):
            monkeypatch.setattr(module, "processor", lambda: request.param)
        for name in ("compiled_forward", "compiled_backward"):
            monkeypatch.setattr(network, name, getattr(kernels, name).__wrapped__)


def made(widths, activations, rows):
    """Return a network with random weights, and its vectors of weights and of gradients."""
    chain = Plan.of(widths, activations)
    weights, gradient = zeros(chain.size), zeros(chain.size)
    draw = np.random.default_rng(1).normal
    for layer in chain.layers:
        kernel, bias = layer.views(weights)
        kernel[:] = draw(0, layer.inputs**-0.5, kernel.shape)
        bias[:] = draw(0, 0.3, bias.shape)
    gradient[:] = np.nan  # what was there must not matter
    return chain, weights, gradient, Network(chain, weights, gradient, rows, passes_on="itself")


def run(mlp, x):
    """Return what a network makes of all rows, in memory that is used again."""
    mlp.look_at(x, len(x))
    Program(mlp.forward).run()
    return mlp.out[: len(x), : mlp.outputs]


@by_size
@pytest.mark.parametrize("rows", [1, TILE, 2 * TILE + 3])
def test_forward_and_back(cpu, widths, activations, rows):
    chain, weights, gradient, mlp = made(widths, activations, rows + 5)
    draw = np.random.default_rng(2).normal
    x, d_out = draw(size=(rows, widths[0])), draw(size=(rows, widths[-1]))
    for _ in range(2):  # the second time in used memory
        seen = [x]
        for layer in chain.layers:
            kernel, bias = (part.astype(np.float64) for part in layer.views(weights))
            seen.append(FORWARD[layer.activation](seen[-1] @ kernel + bias))
        found = run(mlp, x.astype(np.float32))
        np.testing.assert_allclose(found, seen[-1], rtol=1e-5, atol=1e-5)
        mlp.d_out[:rows, : widths[-1]] = d_out
        Program(mlp.backward).run()
        d = d_out
        for layer in reversed(chain.layers):
            d = d * SLOPE[layer.activation](seen[layer.number + 1])
            kernel, bias = layer.views(gradient)
            close(kernel, seen[layer.number].T @ d)
            close(bias, d.sum(0))
            d = d @ layer.views(weights)[0].astype(np.float64).T
        close(mlp.d_in[:rows, : widths[0]], d)
        x, d_out = x * 0.5, d_out + 1


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max())


@by_size
def test_what_pads_vectors_has_no_gradient(widths, activations):
    chain, _, gradient, mlp = made(widths, activations, 70)
    run(mlp, np.ones((70, widths[0]), np.float32))
    mlp.d_out[:, : widths[-1]] = 1.0
    Program(mlp.backward).run()
    for layer in chain.layers:
        for part in layer.views(gradient):
            part[:] = 0
    assert not gradient.any()


@by_size
def test_a_row_is_the_same_to_the_bit_in_any_batch(widths, activations):
    *_, mlp = made(widths, activations, 200)
    x = np.random.default_rng(3).normal(size=(200, widths[0])).astype(np.float32)
    whole = run(mlp, x).copy()
    for part in (slice(0, 1), slice(3, 20), slice(70, 199)):
        assert np.array_equal(run(mlp, x[part]), whole[part])


@pytest.mark.parametrize("activation", ["elu", "tanh", "relu"])
def test_activations_far_out(activation):
    """An identity before the activation shows the whole curve, and what is not a number."""
    chain = Plan.of((1, 1), (activation,))
    weights = zeros(chain.size)
    chain.layers[0].views(weights)[0][:] = 1
    x = np.concatenate([np.linspace(-20, 20, 4001), [-1e30, -88, -1e-7, 0, 1e-7, 89, 1e30]])
    mlp = Network(chain, weights, zeros(chain.size), len(x))
    found = run(mlp, x.astype(np.float32)[:, None])[:, 0]
    expected = FORWARD[activation](x.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=2e-7)
    assert np.isnan(run(mlp, np.full((1, 1), np.nan, np.float32))).all()


def test_an_array_of_another_kind_is_refused():
    *_, mlp = made(*SIZES["what cartpole has"], 8)
    good = np.zeros((8, 4), np.float32)
    run(mlp, good)
    run(mlp, np.zeros((8, 9), np.float32)[:, 2:6])  # columns of something wider
    wrong = (good.astype(np.float64), np.asfortranarray(good), good[:, :3], np.tile(good, (2, 1)))
    for x in wrong:
        with pytest.raises(ValueError, match="8 rows of 4 float32 numbers side by side"):
            run(mlp, x)
    with pytest.raises(ValueError, match="cannot take 9 of"):
        mlp.look_at(good, 9)


def test_memory_begins_where_vectors_do():
    assert all(zeros(size).ctypes.data % 64 == 0 for size in (1, 17, 1000))
    assert padded(1) == padded(processor().lanes) == processor().lanes


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.delenv("MOTRIX_NATIVE", raising=False)
    assert is_available()
    monkeypatch.setenv("MOTRIX_NATIVE", "0")
    assert not is_available()


def test_nobody_needs_the_compiler(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not is_available()
