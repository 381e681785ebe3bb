"""MLPs as machine code: a forward pass and its gradient, written for one network at a time.

Rows go through in tiles of `TILE`, all layers of one tile before the next, so that what a layer
leaves is still in the first cache when the next one takes it. Products are worked out in blocks
whose sums stay in registers. Every number of a row is summed up in the same order wherever the row
stands and however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

from motrix_rl.native.activations import ACTIVATIONS, SLOPES
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Index, Source, Value
from motrix_rl.native.plan import TILE, Layer, Plan, padded

PassesOn = Literal["nothing", "itself", "a sum"]
"""Whether a gradient of the input is worked out, and written or added to what is there."""

_TALLEST = 12  # rows of a block: more would not keep the processor any busier


@cache
def compiled(plan: Plan, passes_on: PassesOn = "nothing") -> Compiled:
    """Return `forward` and `backward` of a network; see `Network` for what they do.

    Args:
        plan: The network.
        passes_on: What `backward` does with the gradient of the input.
    """
    source = Source()
    _write_forward(source, plan)
    _write_backward(source, plan, passes_on)
    return Compiled(source)


def _write_forward(source: Source, plan: Plan) -> None:
    pointers, numbers = ("x", "weights", "memory"), ("from_row", "rows", "capacity")
    e = Emitter(source, "forward", pointers, numbers, processor().lanes)
    rows = e.arguments["rows"]
    with e.loop(0, rows, TILE) as start:
        count = e.smaller(TILE, e.build.sub(rows, start))
        for layer in plan.layers:
            x, out = _input(e, plan, layer, start), _output(e, plan, layer, start)
            if layer.narrow:
                _write_dots(e, layer, count, x, out)
            else:
                bias = _bias(e, layer, "weights")
                size = (count, layer.inputs, layer.stride)
                begin = _each_row(e, bias)
                left = (x, _from_row(e, plan, layer), 1)
                _write_product(e, size, left, _kernel(e, layer), out, begin)
            _activate(e, layer, count, out)
    e.finish()


def _write_backward(source: Source, plan: Plan, passes_on: PassesOn) -> None:
    pointers = ("x", "weights", "memory", "d_out", "gradient", "scratch", "d_in")
    numbers = ("from_row", "rows", "capacity")
    e = Emitter(source, "backward", pointers, numbers, processor().lanes)
    rows = e.arguments["rows"]
    with e.loop(0, plan.size, e.lanes) as place:
        e.store(e.zero, e.at(e.arguments["gradient"], place))
    for layer in plan.layers:
        if not layer.narrow and (passes_on != "nothing" or layer.number):
            _turn(e, plan, layer)
    with e.loop(0, rows, TILE) as start:
        count = e.smaller(TILE, e.build.sub(rows, start))
        last = plan.layers[-1]
        given = e.at(e.arguments["d_out"], e.times(start, last.stride))
        d_out = _times_slopes(e, plan, last, count, start, given, _room(e, plan, last))
        for layer in reversed(plan.layers):
            _add_gradient(e, plan, layer, count, start, d_out)
            if layer.number:
                before = plan.layers[layer.number - 1]
                d_in = _room(e, plan, before)
                _pass_on(e, plan, layer, count, d_out, d_in)
                d_out = _times_slopes(e, plan, before, count, start, d_in, d_in)
            elif passes_on != "nothing":
                d_in = e.at(e.arguments["d_in"], e.times(start, padded(layer.inputs)))
                _pass_on(e, plan, layer, count, d_out, d_in, adds=passes_on == "a sum")
    e.finish()


# Parts of a layer


def _write_dots(e: Emitter, layer: Layer, count: Index, x: Value, out: Value) -> None:
    """Write what a narrow layer puts out: one number after the other."""
    width = padded(layer.inputs)
    with e.loop(0, count) as row, e.loop(0, layer.outputs) as output:
        total = e.variable(e.zero)
        with e.loop(0, width, e.lanes) as column:
            seen = e.load(e.at(x, e.times(row, width), column))
            weight = e.load(e.at(_kernel(e, layer), e.times(output, width), column))
            e.set(total, e.multiply_add(seen, weight, e.get(total)))
        one = e.read(e.at(_bias(e, layer, "weights"), output))
        one = e.build.fadd(one, e.sum(e.get(total)))
        e.write(one, e.at(out, e.times(row, layer.stride), output))


def _activate(e: Emitter, layer: Layer, count: Index, out: Value) -> None:
    """Apply the activation of a layer to its sums."""
    if layer.activation == "linear":
        return
    with e.loop(0, e.times(count, layer.stride), e.lanes) as place:
        there = e.at(out, place)
        e.store(ACTIVATIONS[layer.activation](e, e.load(there)), there)


def _times_slopes(
    e: Emitter, plan: Plan, layer: Layer, count: Index, start: Index, d_out: Value, d_sums: Value
) -> Value:
    """Return where the gradient of a layer's sums is, of that of its output."""
    if layer.activation == "linear":
        return d_out
    out = _output(e, plan, layer, start)
    with e.loop(0, e.times(count, layer.stride), e.lanes) as place:
        slope = SLOPES[layer.activation](e, e.load(e.at(out, place)))
        e.store(e.build.fmul(e.load(e.at(d_out, place)), slope), e.at(d_sums, place))
    return d_sums


def _add_gradient(
    e: Emitter, plan: Plan, layer: Layer, count: Index, start: Index, d_out: Value
) -> None:
    """Add what a tile makes of the gradients of kernel and bias."""
    x, slopes = _input(e, plan, layer, start), _kernel(e, layer, "gradient")
    if layer.narrow:
        width = padded(layer.inputs)
        size, left, right = (layer.outputs, count, width), (d_out, 1, layer.stride), x
    else:
        width = layer.stride
        size, left, right = (layer.inputs, count, width), (x, 1, _from_row(e, plan, layer)), d_out
    _write_product(e, size, left, right, slopes, _as_it_is(e, slopes, width))
    bias = _bias(e, layer, "gradient")
    with e.loop(0, layer.stride, e.lanes) as column:
        total = e.variable(e.load(e.at(bias, column)))
        with e.loop(0, count) as row:
            more = e.load(e.at(d_out, e.times(row, layer.stride), column))
            e.set(total, e.build.fadd(e.get(total), more))
        e.store(e.get(total), e.at(bias, column))


def _pass_on(
    e: Emitter,
    plan: Plan,
    layer: Layer,
    count: Index,
    d_out: Value,
    d_in: Value,
    adds: bool = False,
) -> None:
    """Write the gradient of a layer's input, or add it to what is there."""
    width = padded(layer.inputs)
    begin = _as_it_is(e, d_in, width) if adds else _zero(e)
    turned = _kernel(e, layer) if layer.narrow else _turned(e, plan, layer)
    size = (count, layer.outputs, width)
    _write_product(e, size, (d_out, layer.stride, 1), turned, d_in, begin)


def _turn(e: Emitter, plan: Plan, layer: Layer) -> None:
    """Transpose the kernel of a layer."""
    kernel, turned = _kernel(e, layer), _turned(e, plan, layer)
    with e.loop(0, layer.inputs) as i, e.loop(0, layer.outputs) as o:
        weight = e.read(e.at(kernel, e.times(i, layer.stride), o))
        e.write(weight, e.at(turned, e.times(o, padded(layer.inputs)), i))


# Where things are


def _input(e: Emitter, plan: Plan, layer: Layer, start: Index) -> Value:
    if layer.number:
        return _output(e, plan, plan.layers[layer.number - 1], start)
    return e.at(e.arguments["x"], e.times(start, e.arguments["from_row"]))


def _from_row(e: Emitter, plan: Plan, layer: Layer) -> Index:
    """Return floats from one row of a layer's input to the next."""
    return plan.layers[layer.number - 1].stride if layer.number else e.arguments["from_row"]


def _output(e: Emitter, plan: Plan, layer: Layer, start: Index) -> Value:
    before = e.times(e.arguments["capacity"], plan.before(layer))
    return e.at(e.arguments["memory"], before, e.times(start, layer.stride))


def _kernel(e: Emitter, layer: Layer, vector: str = "weights") -> Value:
    return e.at(e.arguments[vector], layer.kernel)


def _bias(e: Emitter, layer: Layer, vector: str) -> Value:
    return e.at(e.arguments[vector], layer.bias)


def _room(e: Emitter, plan: Plan, layer: Layer) -> Value:
    """Return room for a tile of gradients: neighbours have different ones."""
    return e.at(e.arguments["scratch"], layer.number % 2 * TILE * plan.widest)


def _turned(e: Emitter, plan: Plan, layer: Layer) -> Value:
    return e.at(e.arguments["scratch"], plan.turned(layer))


# Products

Begin = Callable[[Index, Index], Value]
"""From row and column to the vector that a sum begins with."""


def _zero(e: Emitter) -> Begin:
    return lambda row, column: e.zero


def _each_row(e: Emitter, vector: Value) -> Begin:
    return lambda row, column: e.load(e.at(vector, column))


def _as_it_is(e: Emitter, out: Value, width: int) -> Begin:
    return lambda row, column: e.load(e.at(out, e.times(row, width), column))


def _write_product(
    e: Emitter,
    size: tuple[Index, Index, int],
    left: tuple[Value, Index, Index],
    right: Value,
    out: Value,
    begin: Begin,
) -> None:
    """Write a product of matrices, in strips of columns and blocks of rows.

    Args:
        e: Where to.
        size: Rows of the left one, what is summed over, columns of the right one.
        left: Where it is, and floats between its rows and between its columns.
        right: Where it is, row by row.
        out: Where the product goes, row by row.
        begin: What sums begin with.
    """
    rows, _, columns = size
    cpu = processor()
    step = cpu.vectors_at_once * e.lanes

    def strip(column: Index, vectors: int) -> None:
        height = min(_TALLEST, (cpu.registers - vectors - 2) // vectors)
        tall = e.whole(rows, height)

        def block(row: Index, height: int) -> None:
            _write_block(e, size, (row, height), (column, vectors), left, right, out, begin)

        with e.loop(0, tall, height) as row:
            block(row, height)
        if isinstance(rows, int) and isinstance(tall, int):
            if rows > tall:
                block(tall, rows - tall)
            return
        with e.loop(tall, rows) as row:
            block(row, 1)

    with e.loop(0, columns // step * step, step) as column:
        strip(column, cpu.vectors_at_once)
    if rest := columns % step:
        strip(columns - rest, rest // e.lanes)


def _write_block(
    e: Emitter,
    size: tuple[Index, Index, int],
    rows: tuple[Index, int],
    columns: tuple[Index, int],
    left: tuple[Value, Index, Index],
    right: Value,
    out: Value,
    begin: Begin,
) -> None:
    """Write a block of a product: `rows` and `columns` are where it starts and how large it is."""
    (row, height), (column, vectors), (a, down, along) = rows, columns, left
    places = [
        (e.plus(row, i), e.plus(column, j * e.lanes)) for i in range(height) for j in range(vectors)
    ]
    sums = [e.variable(begin(*place)) for place in places]
    with e.loop(0, size[1]) as k:
        from_right = e.at(right, e.times(k, size[2]), column)
        vectors_right = [e.load(e.at(from_right, j * e.lanes)) for j in range(vectors)]
        for i in range(height):
            factor = e.load_one(e.at(a, e.times(e.plus(row, i), down), e.times(k, along)))
            for j, vector in enumerate(vectors_right):
                total = sums[i * vectors + j]
                e.set(total, e.multiply_add(factor, vector, e.get(total)))
    for (at_row, at_column), total in zip(places, sums, strict=True):
        e.store(e.get(total), e.at(out, e.times(at_row, size[2]), at_column))
