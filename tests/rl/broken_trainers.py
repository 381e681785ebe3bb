"""A trainer that keeps every promise, and trainers that break one each."""

import contextlib
import os
import time
from dataclasses import dataclass

import numpy as np
from motrix_rl.base import BaseRLCfg
from motrix_rl.evaluation import derived_seed
from motrix_rl.registry import rlcfg
from motrix_rl.rl_module import PPONumpyRLModule
from motrix_rl.session import DivergedError, Learned, TrainingStopped
from motrix_rl.trainer import Trainer


@rlcfg("cartpole", rllib="walk", algo="walk")
@dataclass
class WalkCfg(BaseRLCfg):
    num_envs: int = 4
    rollouts: int = 5

    @property
    def rollout_steps(self):
        return self.rollouts


class Walk(Trainer):
    """Moves the weights by chance, whatever comes of it."""

    rllib, backend, algo = "walk", "numpy", "walk"
    module_class = PPONumpyRLModule

    def check_cfg(self):
        self.cfg._require("device", self.cfg.device in (None, "cpu"), "must be 'cpu'")

    def build_module(self, env, seed):
        return self.module_class(
            observation_space=env.observation_space,
            action_space=env.action_space,
            model_config={"fcnet_hiddens": [3], "vf_share_layers": False, "seed": seed},
        )

    def generator(self, env):
        return np.random.default_rng(derived_seed(env.seed, "walk"))

    def learn(self, env, module, session):
        draw, steps, state = self.generator(env), 0, env.init_state()
        while not session.done:
            for _ in range(self.cfg.rollouts):
                state = env.step(module.act(state.obs)[0])
                session.record()
            self.move(module, draw)
            steps += self.cfg.rollouts
            self.report(session, steps, {"walk/reward": state.reward})

    def move(self, module, draw):
        tensors = module.get_state()
        kernel = tensors["pi"]["out"]["kernel"]
        kernel += draw.normal(0, 0.1, kernel.shape).astype(np.float32)
        module.set_state(tensors)

    def report(self, session, steps, scalars):
        session.after_update(steps, scalars, Learned)


# Declaration and configuration


class UnderAnotherName(Walk):
    backend = "nympu"


@rlcfg("cartpole", rllib="walk", algo="impossible")
@dataclass
class ImpossibleCfg(WalkCfg):
    num_envs: int = 0


class ImpossiblePreset(Walk):
    algo = "impossible"


@rlcfg("cartpole", rllib="walk", algo="lenient")
@dataclass
class LenientCfg(WalkCfg):
    def validate(self):
        pass


class LenientPreset(Walk):
    algo = "lenient"


class Eager(Walk):
    """Its plugin imports it."""


class AnyDevice(Walk):
    def check_cfg(self):
        pass


class RefusesLate(Walk):
    def check_cfg(self):
        pass

    def learn(self, env, module, session):
        super().check_cfg()
        super().learn(env, module, session)


# Steps


class EndsEarly(Walk):
    def learn(self, env, module, session):
        class Impatient:
            done = False

            def __getattr__(self, name):
                return getattr(session, name)

            def after_update(self, *told):
                session.after_update(*told)
                self.done = True

        super().learn(env, module, Impatient())


class NeverRecords(Walk):
    def learn(self, env, module, session):
        class Deaf:
            def __getattr__(self, name):
                return getattr(session, name)

            def record(self):
                pass

        super().learn(env, module, Deaf())


class CountsEnvironments(Walk):
    def report(self, session, steps, scalars):
        session.after_update(steps * self.cfg.num_envs, scalars, Learned)


class ReportsTwice(Walk):
    def report(self, session, steps, scalars):
        super().report(session, steps, scalars)
        super().report(session, steps, scalars)


# Policies


class Restless(PPONumpyRLModule):
    def act(self, obs, state=None, **options):
        actions, state = super().act(obs, state, **options)
        return actions + np.float32(time.perf_counter() % 1e-2), state


class RestlessPolicy(Walk):
    module_class = Restless


class Beyond(PPONumpyRLModule):
    def act(self, obs, state=None, **options):
        actions, state = super().act(obs, state, **options)
        return actions + np.float32(10), state


class IllegalPolicy(Walk):
    module_class = Beyond


class Mixing(PPONumpyRLModule):
    def act(self, obs, state=None, **options):
        return super().act(obs - obs.mean(0), state, **options)


class MixingPolicy(Walk):
    module_class = Mixing


class TrainsACopy(Walk):
    def learn(self, env, module, session):
        copy = self.build_module(env, 5)
        super().learn(env, copy, session)


class Forgetful(PPONumpyRLModule):
    """Acts by something that is not part of its state."""

    gain = 1.0

    def act(self, obs, state=None, **options):
        return super().act(obs * self.gain, state, **options)


class ForgetfulPolicy(Walk):
    module_class = Forgetful

    def move(self, module, draw):
        super().move(module, draw)
        module.gain += 1.0


class Stubborn(PPONumpyRLModule):
    """Takes no state over before it is trained, unless it is only going to act."""

    def set_state(self, state, *, strict=True):
        report = self._compare(state)
        if self.config.inference_only or getattr(self, "in_training", False):
            return super().set_state(state, strict=strict)
        return report


class StubbornPolicy(Walk):
    module_class = Stubborn

    def learn(self, env, module, session):
        module.in_training = True
        super().learn(env, module, session)


class CannotPlay(Walk):
    def play(self, policy_path, max_steps=None):
        raise NotImplementedError


class Tiring(PPONumpyRLModule):
    """Acts otherwise from one episode to the next."""

    calls = 0

    def act(self, obs, state=None, **options):
        actions, state = super().act(obs, state, **options)
        Tiring.calls += len(obs) == 3
        return actions * np.float32(np.sin(Tiring.calls)), state


class TiringPolicy(Walk):
    module_class = Tiring


# Randomness


class Unseeded(Walk):
    def generator(self, env):
        return np.random.default_rng()


class OneGeneratorForAll(Walk):
    shared = np.random.default_rng(1)

    def generator(self, env):
        return self.shared


class Numbered(PPONumpyRLModule):
    """Knows how many of its kind there are."""

    built = 0

    def setup(self):
        super().setup()
        Numbered.built += 1


class CountsItsModules(Walk):
    module_class = Numbered

    def generator(self, env):
        return np.random.default_rng(Numbered.built)


class ByProcess(Walk):
    def generator(self, env):
        return np.random.default_rng([env.seed, os.getpid()])


class AlwaysTheSame(Walk):
    def build_module(self, env, seed):
        return super().build_module(env, 1)

    def generator(self, env):
        return np.random.default_rng(1)


class SeedsEverybody(Walk):
    def train(self, on_progress=None):
        run = super().train(on_progress)
        np.random.seed(1)  # noqa: NPY002
        return run


# Ends


class NeedsCompany(Walk):
    def move(self, module, draw):
        assert self.cfg.num_envs > 1
        super().move(module, draw)


class CannotBeStopped(Walk):
    def report(self, session, steps, scalars):
        with contextlib.suppress(TrainingStopped):
            super().report(session, steps, scalars)


class SwallowsErrors(Walk):
    def report(self, session, steps, scalars):
        with contextlib.suppress(Exception):
            super().report(session, steps, scalars)


class LeavesItOpen(Walk):
    def learn(self, env, module, session):
        env.close = lambda: None
        super().learn(env, module, session)


class HidesDivergence(Walk):
    def report(self, session, steps, scalars):
        with contextlib.suppress(DivergedError):
            super().report(session, steps, scalars)


class CleansItsWeights(Walk):
    def move(self, module, draw):
        super().move(module, draw)
        state = module.get_state()
        for branch in ("encoder", "pi", "vf"):
            state[branch] = clean(state[branch])
        module.set_state(state)


def clean(tree):
    return {k: clean(v) if isinstance(v, dict) else np.nan_to_num(v) for k, v in tree.items()}
