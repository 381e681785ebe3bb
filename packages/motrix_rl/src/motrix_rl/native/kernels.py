"""MLPs as machine code: a forward pass and its gradient, written for one network at a time.

Rows go through in tiles of `TILE`, all layers of one tile before the next, so that what a layer
leaves is still in the first cache when the next one takes it. Every number of a row is the same
wherever the row stands and however many there are.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from motrix_rl.native.activations import ACTIVATIONS, SLOPES
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Index, Source, Value
from motrix_rl.native.plan import TILE, Layer, Plan, padded
from motrix_rl.native.products import Left, Product, each_row, what_is_there, zero

PassesOn = Literal["nothing", "itself", "a sum"]
"""Whether a gradient of the input is worked out, and written or added to what is there."""


@cache
def compiled_forward(plan: Plan) -> Compiled:
    """Return `forward` of a network; see `Forward` for what it does."""
    source = Source()
    pointers, numbers = ("x", "weights", "memory"), ("from_row", "rows", "capacity")
    e = Emitter(source, "forward", pointers, numbers, processor().lanes)
    with e.loop(0, e.arguments["rows"], TILE) as start:
        tile = _Tile(e, plan, start)
        for layer in plan.layers:
            tile.write_sums(layer)
            tile.activate(layer)
    e.finish()
    return Compiled(source)


@cache
def compiled_backward(plan: Plan, passes_on: PassesOn) -> Compiled:
    """Return `backward` of a network; see `Network` for what it does.

    Args:
        plan: The network.
        passes_on: What happens to the gradient of the input.
    """
    source = Source()
    pointers = ("x", "weights", "memory", "d_out", "gradient", "scratch", "d_in")
    numbers = ("from_row", "rows", "capacity")
    e = Emitter(source, "backward", pointers, numbers, processor().lanes)
    with e.loop(0, plan.size, e.lanes) as place:
        e.store(e.zero, e.at(e.arguments["gradient"], place))
    for layer in plan.layers:
        if layer.number or passes_on != "nothing":
            _transpose(e, plan, layer)
    with e.loop(0, e.arguments["rows"], TILE) as start:
        tile, last = _Tile(e, plan, start), plan.layers[-1]
        given = e.at(e.arguments["d_out"], e.times(start, last.stride))
        d_sums = tile.times_slopes(last, given)
        for layer in reversed(plan.layers):
            tile.add_gradient(layer, d_sums)
            if layer.number:
                before = plan.layers[layer.number - 1]
                tile.pass_on(layer, d_sums, tile.room(before))
                d_sums = tile.times_slopes(before, tile.room(before))
            elif passes_on != "nothing":
                d_in = e.at(e.arguments["d_in"], e.times(start, padded(layer.inputs)))
                tile.pass_on(layer, d_sums, d_in, adds=passes_on == "a sum")
    e.finish()
    return Compiled(source)


def _transpose(e: Emitter, plan: Plan, layer: Layer) -> None:
    """Transpose the kernel of a layer, unless it is so already."""
    if layer.narrow:
        return
    kernel = e.at(e.arguments["weights"], layer.kernel)
    transposed = e.at(e.arguments["scratch"], plan.transposed(layer))
    with e.loop(0, layer.inputs) as i, e.loop(0, layer.outputs) as o:
        weight = e.read(e.at(kernel, e.times(i, layer.stride), o))
        e.write(weight, e.at(transposed, e.times(o, padded(layer.inputs)), i))


class _Tile:
    """Writes what happens to the rows from `start` on, at most `TILE` of them."""

    def __init__(self, e: Emitter, plan: Plan, start: Value) -> None:
        self._e, self._plan, self._start = e, plan, start
        self._count = e.smaller(TILE, e.build.sub(e.arguments["rows"], start))

    # Forward

    def write_sums(self, layer: Layer) -> None:
        """Write the sums of a layer where its output goes."""
        x, out = self._input(layer), self._output(layer)
        kernel, bias = self._kernel(layer), self._bias(layer)
        if layer.narrow:
            self._write_dots(layer, x, kernel, bias, out)
            return
        left = Left(x, self._from_row(layer))
        product = Product(self._count, layer.inputs, layer.stride, left, kernel, out)
        product.write(self._e, each_row(self._e, bias))

    def _write_dots(self, layer: Layer, x: Value, kernel: Value, bias: Value, out: Value) -> None:
        """Write the sums of a narrow layer, one number after the other."""
        e, width = self._e, padded(layer.inputs)
        with e.loop(0, self._count) as row, e.loop(0, layer.outputs) as output:
            total = e.variable(e.zero)
            with e.loop(0, width, e.lanes) as column:
                seen = e.load(e.at(x, e.times(row, width), column))
                weight = e.load(e.at(kernel, e.times(output, width), column))
                e.set(total, e.multiply_add(seen, weight, e.get(total)))
            one = e.build.fadd(e.read(e.at(bias, output)), e.sum(e.get(total)))
            e.write(one, e.at(out, e.times(row, layer.stride), output))

    def activate(self, layer: Layer) -> None:
        """Make the sums of a layer its output."""
        if layer.activation == "linear":
            return
        e, out = self._e, self._output(layer)
        with e.loop(0, e.times(self._count, layer.stride), e.lanes) as place:
            there = e.at(out, place)
            e.store(ACTIVATIONS[layer.activation](e, e.load(there)), there)

    # Back

    def times_slopes(self, layer: Layer, d_out: Value) -> Value:
        """Return where the gradient of a layer's sums is, of that of its output."""
        if layer.activation == "linear":
            return d_out
        e, out, d_sums = self._e, self._output(layer), self.room(layer)
        with e.loop(0, e.times(self._count, layer.stride), e.lanes) as place:
            slope = SLOPES[layer.activation](e, e.load(e.at(out, place)))
            e.store(e.build.fmul(e.load(e.at(d_out, place)), slope), e.at(d_sums, place))
        return d_sums

    def add_gradient(self, layer: Layer, d_sums: Value) -> None:
        """Add what the tile makes of the gradients of kernel and bias."""
        e, x, slopes = self._e, self._input(layer), self._kernel(layer, "gradient")
        rows, columns = layer.shape
        left, right = Left(x, 1, self._from_row(layer)), d_sums
        if layer.narrow:
            left, right = Left(d_sums, 1, layer.stride), x
        product = Product(rows, self._count, columns, left, right, slopes)
        product.write(e, what_is_there(e, slopes, columns))
        bias = self._bias(layer, "gradient")
        with e.loop(0, layer.stride, e.lanes) as column:
            total = e.variable(e.load(e.at(bias, column)))
            with e.loop(0, self._count) as row:
                e.add(total, e.load(e.at(d_sums, e.times(row, layer.stride), column)))
            e.store(e.get(total), e.at(bias, column))

    def pass_on(self, layer: Layer, d_sums: Value, d_in: Value, adds: bool = False) -> None:
        """Write the gradient of a layer's input, or add it to what is there."""
        e, width = self._e, padded(layer.inputs)
        transposed = e.at(e.arguments["scratch"], self._plan.transposed(layer))
        if layer.narrow:
            transposed = self._kernel(layer)
        left = Left(d_sums, layer.stride)
        product = Product(self._count, layer.outputs, width, left, transposed, d_in)
        product.write(e, what_is_there(e, d_in, width) if adds else zero(e))

    # Where things are

    def _input(self, layer: Layer) -> Value:
        if layer.number:
            return self._output(self._plan.layers[layer.number - 1])
        e = self._e
        return e.at(e.arguments["x"], e.times(self._start, e.arguments["from_row"]))

    def _from_row(self, layer: Layer) -> Index:
        """Return floats from one row of a layer's input to the next."""
        if layer.number:
            return self._plan.layers[layer.number - 1].stride
        return self._e.arguments["from_row"]

    def _output(self, layer: Layer) -> Value:
        e = self._e
        before = e.times(e.arguments["capacity"], self._plan.before(layer))
        return e.at(e.arguments["memory"], before, e.times(self._start, layer.stride))

    def _kernel(self, layer: Layer, vector: str = "weights") -> Value:
        return self._e.at(self._e.arguments[vector], layer.kernel)

    def _bias(self, layer: Layer, vector: str = "weights") -> Value:
        return self._e.at(self._e.arguments[vector], layer.bias)

    def room(self, layer: Layer) -> Value:
        """Return room for gradients of a layer's output; those of its neighbours lie elsewhere."""
        half = layer.number % 2 * TILE * self._plan.widest
        return self._e.at(self._e.arguments["scratch"], half)
