"""PPO's loss and its gradient as machine code, row by row."""

from __future__ import annotations

from functools import cache
from typing import Any

from numpy.typing import NDArray

from motrix_rl.native.activations import exp
from motrix_rl.native.calls import Call, zeros
from motrix_rl.native.compiler import Compiled, processor
from motrix_rl.native.emitter import Emitter, Source, Value
from motrix_rl.native.gaussian import HALF_LOG_2PI, bounded
from motrix_rl.native.network import Network
from motrix_rl.native.plan import padded
from motrix_rl.native.records import NUMBERS

Array = NDArray[Any]


class Losses:
    """The loss of policy and value function over records; for one thread at a time.

    Args:
        actor: Puts out means of actions.
        critic: Puts out values.
        records: What both are asked about, (rows, width); see `Records`.
        log_std: Of the actions, (actions,) in whole vectors, looked at in every call.
        clips: By how much a ratio and a value may move; None where values are not clipped.
        weights: Of the value loss and of the entropy.

    Attributes:
        policy: The call that works out `actor.d_out` and `d_log_std`.
        value: The call that works out `critic.d_out`.
    """

    def __init__(
        self,
        actor: Network,
        critic: Network,
        records: Array,
        log_std: Array,
        clips: tuple[float, float | None],
        weights: tuple[float, float],
    ) -> None:
        self._actions = actor.outputs
        code, width = compiled_losses(self._actions, *clips), padded(self._actions)
        # Gradients of log-stds; the policy's gain, the divergence, stds, and log-stds; squares.
        self._sums, self._squares = zeros(width + 4), zeros(1)
        self._weights, self._shares = weights, zeros(3)
        known = {"records": records, "from_row": records.shape[1], "shares": self._shares}
        self.policy = Call(code, "policy", means=actor.out, d_means=actor.d_out, log_std=log_std)
        self.policy.set(**known, scratch=zeros(width), sums=self._sums)
        self.value = Call(code, "value", values=critic.out, d_values=critic.d_out)
        self.value.set(**known, squares=self._squares)

    def look_at(self, rows: int, total: int) -> None:
        """Let both calls take so many of the records, of a mini-batch with `total` rows."""
        value, entropy = self._weights
        self._total, self._share = total, rows / total
        self._shares[:] = 1 / total, 2 * value / total, entropy * self._share
        for call in (self.policy, self.value):
            call.set(rows=rows)

    @property
    def d_log_std(self) -> Array:
        """What the records add to the gradients of log-stds, (actions,)."""
        return self._sums[: self._actions]

    def parts(self) -> dict[str, float]:
        """Return what the records add to the parts of the mini-batch's loss; see `ppo_loss`."""
        gain, divergence, std, log_std = self._sums[-4:].tolist()
        value, entropy = self._weights
        parts = {
            "policy": -gain / self._total,
            "value": value * float(self._squares[0]) / self._total,
            "kl": divergence / self._total,
            "spread": self._share * std / self._actions,
        }
        if entropy:
            of_all = log_std + self._actions * (HALF_LOG_2PI + 0.5)
            parts["entropy"] = -entropy * self._share * of_all
        return parts


@cache
def compiled_losses(actions: int, ratio_clip: float, value_clip: float | None) -> Compiled:
    """Return the functions `policy` and `value`; see `Losses`."""
    source = Source()
    _write_policy(source, actions, ratio_clip)
    _write_value(source, padded(actions), value_clip)
    return Compiled(source)


def _write_policy(source: Source, actions: int, ratio_clip: float) -> None:
    """Write `policy`, for Gaussians: equation 7 of Schulman et al. 2017 and its gradient.

    With z = (action - mean) / std, A the advantage, r the ratio of densities and N the rows of the
    mini-batch, dL/dmean = -A r z / (std N) and dL/dlog_std = -A r (z^2 - 1) / N where r earns.
    """
    pointers = ("records", "means", "d_means", "log_std", "shares", "scratch", "sums")
    e = Emitter(source, "policy", pointers, ("from_row", "rows"), processor().lanes)
    width, sums = padded(actions), e.arguments["sums"]
    std, log_std = _invert_std(e, width)
    constant = e.build.fadd(log_std, e.number(actions * HALF_LOG_2PI))
    share = e.load_one(e.arguments["shares"])
    gain, divergence = e.variable(e.zero), e.variable(e.zero)
    with e.loop(0, width, e.lanes) as column:
        e.store(e.zero, e.at(sums, column))
    with e.loop(0, e.arguments["rows"]) as row:
        record = e.at(e.arguments["records"], e.times(row, e.arguments["from_row"]))
        squares = _write_distances(e, width, row, record)
        before = e.build.fadd(_number(e, record, width, "log_probs"), constant)
        change = e.build.fsub(e.build.fmul(squares, e.number(-0.5)), before)
        advantage = _number(e, record, width, "advantages")
        ratio = exp(e, change)
        plain = e.build.fmul(advantage, ratio)
        bounded = e.within(ratio, e.number(1 - ratio_clip), e.number(1 + ratio_clip))
        clipped = e.build.fmul(advantage, bounded)
        e.add(gain, e.minimum(plain, clipped))
        e.add(divergence, e.build.fsub(e.build.fsub(ratio, e.number(1.0)), change))
        # Where the clipped one is less, the ratio earns nothing more and has no gradient.
        earns = e.build.select(e.build.fcmp_unordered("<=", plain, clipped), plain, e.zero)
        _write_slopes(e, width, row, e.negative(e.build.fmul(earns, share)))
    _finish_log_std(e, width)
    std = e.build.fsub(std, e.number(width - actions))  # those of no action are 1
    for place, total in enumerate((e.get(gain), e.get(divergence), std, log_std)):
        e.write(e.first(total), e.at(sums, width + place))
    e.finish()


def _write_distances(e: Emitter, width: int, row: Value, record: Value) -> Value:
    """Write by how many standard deviations actions are off, and return the sum of squares.

    They wait in `d_means`, for `_write_slopes`: before the sum is known, nobody has the ratio.
    """
    total, place = e.variable(e.zero), e.times(row, width)
    with e.loop(0, width, e.lanes) as column:
        mean = e.load(e.at(e.arguments["means"], place, column))
        inverse = e.load(e.at(e.arguments["scratch"], column))
        z = e.build.fmul(e.build.fsub(e.load(e.at(record, column)), mean), inverse)
        e.store(z, e.at(e.arguments["d_means"], place, column))
        e.add(total, e.build.fmul(z, z))
    return e.splat(e.sum(e.get(total)))


def _write_slopes(e: Emitter, width: int, row: Value, slope: Value) -> None:
    """Write gradients of means where distances are, and add to those of log-stds.

    Args:
        e: Where to.
        width: Of an action in whole vectors.
        row: Which row.
        slope: Gradient of the log-probability.
    """
    place = e.times(row, width)
    with e.loop(0, width, e.lanes) as column:
        there = e.at(e.arguments["d_means"], place, column)
        z, inverse = e.load(there), e.load(e.at(e.arguments["scratch"], column))
        e.store(e.build.fmul(e.build.fmul(z, inverse), slope), there)
        total, excess = e.at(e.arguments["sums"], column), e.multiply_add(z, z, e.number(-1.0))
        e.store(e.multiply_add(excess, slope, e.load(total)), total)


def _invert_std(e: Emitter, width: int) -> tuple[Value, Value]:
    """Write inverse standard deviations; return the sums of deviations and of their logarithms."""
    of_std, of_log = e.variable(e.zero), e.variable(e.zero)
    with e.loop(0, width, e.lanes) as column:
        log_std = bounded(e, e.load(e.at(e.arguments["log_std"], column)))
        std = exp(e, log_std)
        e.store(e.build.fdiv(e.number(1.0), std), e.at(e.arguments["scratch"], column))
        e.add(of_std, std)
        e.add(of_log, log_std)
    of_std, of_log = (e.splat(e.sum(e.get(total))) for total in (of_std, of_log))
    return of_std, of_log


def _finish_log_std(e: Emitter, width: int) -> None:
    """Take the entropy into gradients of log-stds; those at a bound have none."""
    entropy = e.load_one(e.at(e.arguments["shares"], 2))
    with e.loop(0, width, e.lanes) as column:
        log_std, there = (e.at(e.arguments[name], column) for name in ("log_std", "sums"))
        free = e.build.fcmp_ordered("==", e.load(log_std), bounded(e, e.load(log_std)))
        e.store(e.build.select(free, e.build.fsub(e.load(there), entropy), e.zero), there)


def _write_value(source: Source, width: int, value_clip: float | None) -> None:
    """Write `value`: the squared error, of clipped values where they are clipped."""
    pointers = ("records", "values", "d_values", "shares", "squares")
    e = Emitter(source, "value", pointers, ("from_row", "rows"), processor().lanes)
    share, squares = e.load_one(e.at(e.arguments["shares"], 1)), e.variable(e.zero)
    with e.loop(0, e.arguments["rows"]) as row:
        record = e.at(e.arguments["records"], e.times(row, e.arguments["from_row"]))
        place = e.times(row, padded(1))
        value = e.load_one(e.at(e.arguments["values"], place))
        target = _number(e, record, width, "targets")
        error = slope = e.build.fsub(value, target)
        if value_clip is not None:
            old = _number(e, record, width, "values")
            moved = e.build.fsub(value, old)
            within = e.within(moved, e.number(-value_clip), e.number(value_clip))
            error = e.build.fsub(e.build.fadd(old, within), target)
            slope = e.build.select(e.build.fcmp_unordered("==", within, moved), error, e.zero)
        e.add(squares, e.build.fmul(error, error))
        e.write(e.first(e.build.fmul(slope, share)), e.at(e.arguments["d_values"], place))
    e.write(e.first(e.get(squares)), e.arguments["squares"])
    e.finish()


def _number(e: Emitter, record: Value, width: int, name: str) -> Value:
    """Return one of `NUMBERS` of a record."""
    return e.load_one(e.at(record, width + NUMBERS.index(name)))
