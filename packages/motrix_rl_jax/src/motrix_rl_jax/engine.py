"""Motrix's own PPO in JAX: the learner of `EngineTrainer`, three compiled functions."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from motrix_rl.engine.draws import GivenNoise
from motrix_rl.engine.host import Acted
from motrix_rl.engine.learner import Learner, Samples
from motrix_rl.engine.loss import NORM_EPSILON, Parts, adam, outputs, ppo_loss
from motrix_rl.engine.trainer import EngineTrainer
from motrix_rl.rl_module import Columns, RLModule, nested, states
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.skrl.cfg import PPOCfg
from numpy.typing import NDArray

from motrix_rl_jax.compute import JaxCompute
from motrix_rl_jax.rl_module.module import FlaxRLModule
from motrix_rl_jax.rl_module.ops import Ops

Tree = Any
"""Nested dictionaries of arrays."""

CHUNK = 2048
"""Rows of a mini-batch that are worked out at once on a CPU: activations stay in its caches."""

UNROLL = 4
"""Chunks of one turn of the compiled loop: XLA works on them side by side."""


class GivenOps(GivenNoise, Ops):
    """JAX with given noise."""


class Trainer(JaxCompute, EngineTrainer):
    """Trains with Motrix's own PPO in JAX; see `EngineTrainer` and `JaxCompute`."""

    backend: ClassVar[str] = "jax"

    def logits(self, module: RLModule, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `EngineTrainer`; compiled as a whole, not operation by operation."""
        assert isinstance(module, FlaxRLModule)  # `check_module` saw to it
        forward = jax.jit(module.functional("inference"))
        output = forward(module.variables, {Columns.OBS: obs})
        return np.asarray(output[Columns.ACTION_DIST_INPUTS])

    def framework_learner(self, module: RLModule) -> Learner:
        """Return a learner on the configured device."""
        assert isinstance(module, FlaxRLModule)  # `check_module` saw to it
        return FlaxLearner(module, self.cfg, self.device)


class Adam(NamedTuple):
    """What an update changes."""

    params: Tree
    mean: Tree
    variance: Tree


class FlaxLearner(Learner):
    """One tree of parameters for policy and value function, and pure functions of it.

    Args:
        module: Policy and value function.
        cfg: The configuration.
        device: Where everything is computed.
    """

    module: FlaxRLModule

    def __init__(self, module: FlaxRLModule, cfg: PPOCfg, device: jax.Device) -> None:
        super().__init__(module, cfg)
        self._device = device
        self._dist_cls = bound(module.get_train_action_dist_cls() or object, GivenOps)
        zeros = jax.tree.map(np.zeros_like, module.params)
        self._adam = self._own(Adam(module.params, zeros, zeros))
        self._take(self._adam)
        self._samples: Tree = {}
        self._sample, self._values = jax.jit(self._sampled), jax.jit(self._valued)
        self._epoch = jax.jit(self._descended, donate_argnums=0)

    def _put(self, tree: Tree) -> Tree:
        return jax.device_put(tree, self._device)

    def _own(self, tree: Tree) -> Tree:
        """Return copies that nobody else has: an update gives its memory away."""
        return self._put(jax.tree.map(jnp.array, tree))

    def _take(self, new: Adam) -> None:
        """Let the module have what was learned, and its buffers on the device."""
        self._adam, self.module.params = new, new.params
        self._buffers = self._put(nested.transform(jnp.asarray, self.module.buffers))

    def _outputs(self, params: Tree, buffers: Tree, batch: Tree) -> tuple[Any, jax.Array]:
        logits, values = outputs(self.module.bind({"params": params, "buffers": buffers}), batch)
        return self._dist_cls.from_logits(logits), values  # type: ignore[attr-defined]

    # Acting

    def sample(self, obs: NDArray[Any], states: NDArray[Any] | None, noise: NDArray[Any]) -> Acted:
        """See `Learner`."""
        batch = self._put(_batch(obs, states))
        actions, logp = map(
            np.asarray, self._sample(self._adam.params, self._buffers, batch, noise)
        )
        return actions, logp

    def _sampled(self, params: Tree, buffers: Tree, batch: Tree, noise: jax.Array) -> Any:
        dist, _ = self._outputs(params, buffers, batch)
        return dist.sample(return_logp=True, rng=noise)

    def values(self, obs: NDArray[Any], states: NDArray[Any] | None) -> NDArray[np.float32]:
        """See `Learner`."""
        values = self._values(self._adam.params, self._buffers, _batch(obs, states))
        return np.asarray(values)

    def _valued(self, params: Tree, buffers: Tree, batch: Tree) -> jax.Array:
        return self._outputs(params, buffers, batch)[1]

    # Learning

    def load(self, samples: Samples) -> None:
        """See `Learner`."""
        self._samples = self._put(dict(samples))
        self._take(self._adam)

    def run_epoch(
        self, order: NDArray[np.int32], scales: NDArray[np.float64]
    ) -> tuple[Parts, NDArray[np.bool_]]:
        """See `Learner`."""
        # What is not put anywhere follows the parameters to their device, at less cost per call.
        new, parts, taken = self._epoch(
            self._adam, self._buffers, self._samples, order, scales.astype(np.float32)
        )
        self._adam, self.module.params = new, new.params
        steps = np.asarray(taken)
        seen = min(len(steps), int(steps.sum()) + 1)  # up to the one that was one too many
        return {name: np.asarray(part)[:seen] for name, part in parts.items()}, steps[:seen]

    def _descended(
        self, start: Adam, buffers: Tree, samples: Tree, order: jax.Array, scales: jax.Array
    ) -> tuple[Adam, Parts, jax.Array]:
        def mini_batch(carry: tuple[Adam, Any], given: Any) -> tuple[Any, Any]:
            (now, going), (rows, scale) = carry, given
            gradient, parts = self._gradient(now.params, buffers, samples, rows)
            new = self._step(now, gradient, scale)
            if self.cfg.kl_threshold:
                going = going & ~(parts["kl"] > self.cfg.kl_threshold)
                new = jax.tree.map(lambda a, b: jnp.where(going, a, b), new, now)
            return (new, going), (parts, going)

        (end, _), told = jax.lax.scan(mini_batch, (start, jnp.array(True)), (order, scales))
        return end, *told

    def _gradient(
        self, params: Tree, buffers: Tree, samples: Tree, rows: jax.Array
    ) -> tuple[Tree, Parts]:
        """Return the gradient over some rows, and the parts of their loss."""

        def of(rows: jax.Array) -> Any:
            batch = jax.tree.map(lambda column: column[rows], samples)
            return jax.grad(self._loss, has_aux=True)(params, buffers, batch)

        if self._device.platform != "cpu" or len(rows) < 2 * CHUNK or len(rows) % CHUNK:
            return of(rows)

        def add(total: Any, chunk: jax.Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, of(chunk)), None

        chunks = rows.reshape(-1, CHUNK)
        zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(of, chunks[0]))
        total, _ = jax.lax.scan(add, zeros, chunks, unroll=UNROLL)
        return jax.tree.map(lambda leaf: leaf / len(chunks), total)

    def _loss(self, params: Tree, buffers: Tree, batch: Tree) -> tuple[jax.Array, Parts]:
        dist, values = self._outputs(params, buffers, batch)
        return ppo_loss(dist, values, batch, self.cfg)

    def _step(self, now: Adam, gradient: Tree, scales: jax.Array) -> Adam:
        """Return what a step along a gradient makes of the parameters."""
        if self.cfg.grad_norm_clip > 0:
            norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
            ratio = jnp.minimum(self.cfg.grad_norm_clip / (norm + NORM_EPSILON), 1.0)
            gradient = jax.tree.map(lambda leaf: leaf * ratio, gradient)
        stepped = jax.tree.map(
            lambda p, g, m, v: adam(p, g, m, v, scales),
            now.params,
            gradient,
            now.mean,
            now.variance,
        )
        return Adam(*jax.tree.transpose(jax.tree.structure(gradient), None, stepped))

    # State

    def moments(self) -> Tensors:
        """See `Learner`."""
        trees = {"mean": self._adam.mean, "variance": self._adam.variance}
        leaves = states.flatten(trees).items()
        return {path: np.array(leaf) for path, leaf in leaves if not isinstance(leaf, dict)}

    def set_moments(self, moments: Tensors) -> None:
        """See `Learner`."""
        trees = states.flatten({"mean": self._adam.mean, "variance": self._adam.variance})
        found = states.unflatten({**trees, **moments})
        self._adam = self._own(Adam(self._adam.params, found["mean"], found["variance"]))


def _batch(obs: NDArray[Any], states: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    return {Columns.OBS: obs} if states is None else {Columns.OBS: obs, Columns.STATE: states}
