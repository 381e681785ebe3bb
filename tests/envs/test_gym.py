"""Gymnasium: both kinds of environment, its checkers, and the two orders of import."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence, data_shares_objects
from gymnasium.utils.env_match import check_environments_match
from gymnasium.utils.passive_env_checker import env_render_passive_checker
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics, RescaleAction
from motrix_envs import registry
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.errors import ConfigError, MotrixError
from motrix_envs.gym import MotrixEnv, MotrixVectorEnv, register_all
from motrix_envs.sim.viewer import RenderError

NAMES = [record.name for record in registry.default.envs() if record.owner != registry.USER_CODE]
SHORT_STEPS = 7

every_env = pytest.mark.parametrize("name", NAMES)

# What Gymnasium recommends and this platform decides otherwise, for stated reasons.
ACCEPTED = [
    # An observation has no physical limit that would be worth stating.
    "ignore:.*A Box observation space m[a-z]+ value is -?infinity:UserWarning",
    # Some action spaces are those of a published task: cartpole's is ±3.
    "ignore:.*we recommend using a symmetric and normalized space:UserWarning",
]


def short(name, steps=SHORT_STEPS):
    """Return an override that ends episodes soon, so that resets are seen."""
    return {"max_episode_seconds": steps * registry.default.default_cfg(name).ctrl_dt}


def make_vec(name, num_envs=3, **kwargs):
    return gymnasium.make_vec(f"motrix_envs:motrix/{name}", num_envs=num_envs, **kwargs)


def make(name, **kwargs):
    return gymnasium.make(f"motrix_envs:motrix/{name}", **kwargs)


def actions_for(envs, steps, seed=0):
    envs.action_space.seed(seed)
    return [envs.action_space.sample() for _ in range(steps)]


def run(envs, actions):
    """Return everything that a run hands out, in order."""
    return [envs.step(action) for action in actions]


# Gymnasium's own checkers


@every_env
@pytest.mark.filterwarnings(*ACCEPTED)
def test_the_checker_of_environments(name):
    env = make(name)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


@every_env
def test_wrappers_of_make_find_nothing_to_complain_of(name):
    env = make(name, env_cfg_override=short(name))
    env.reset(seed=1)
    for action in actions_for(env, 20):
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    env.close()


@every_env
def test_equal_environments_match(name):
    pair = [make(name, env_cfg_override=short(name)).unwrapped for _ in range(2)]
    check_environments_match(*pair, num_steps=20, seed=3)
    for env in pair:
        env.close()


@every_env
def test_it_is_the_vector_environment_that_gymnasium_would_make(name):
    """Equal to the bit, and in every key of the infos, to SyncVectorEnv over single ones."""
    require_equal_to_sync_vector_env(name)


def test_privileged_observations_reach_infos(monkeypatch):
    """A critic's observation is in `state`, and the last one of an episode in `final_info`."""

    class Privileged(CartPoleEnv):
        def observe_privileged(self, state):
            return {"cart": self.reads.positions[:, :1], "speeds": self.reads.velocities}

    own = registry.EnvRegistry()
    own.register_env_config("privileged", CartPoleCfg)
    own.register_env("privileged", Privileged, "np")
    monkeypatch.setattr(registry, "default", own)
    monkeypatch.setitem(
        gymnasium.registry,
        "motrix/privileged",
        replace(gymnasium.spec("motrix/cartpole"), kwargs={"name": "privileged"}),
    )
    require_equal_to_sync_vector_env("privileged")
    envs = make_vec("privileged", 2, env_cfg_override=short("privileged"))
    assert envs.reset(seed=1)[1]["state"].shape == (2, 3)
    infos = run(envs, actions_for(envs, SHORT_STEPS))[-1][-1]
    final = np.stack(infos["final_obs"])[:, [0, 2, 3]]
    np.testing.assert_array_equal(infos["final_info"]["state"], final)
    envs.close()


def require_equal_to_sync_vector_env(name):
    override = {"env_cfg_override": short(name)}
    ours = make_vec(name, 1, **override)
    theirs = SyncVectorEnv([lambda: make(name, **override)], autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert data_equivalence(ours.reset(seed=5), theirs.reset(seed=5), exact=True)
    for action in actions_for(ours, 3 * SHORT_STEPS):
        obs, reward, *rest = ours.step(action)
        their_obs, their_reward, *their_rest = theirs.step(action)
        np.testing.assert_array_equal(obs, their_obs)
        np.testing.assert_array_equal(reward, their_reward)
        assert data_equivalence(rest, their_rest, exact=True)
    ours.close()
    theirs.close()


@every_env
def test_what_is_handed_out_belongs_to_the_caller(name):
    envs = make_vec(name, env_cfg_override=short(name))
    calls = [envs.reset(seed=1)]
    calls += [(out[0], out[4]) for out in run(envs, actions_for(envs, 2 * SHORT_STEPS))]
    for one, other in itertools.combinations(calls, 2):
        assert not data_shares_objects(one, other)
    envs.close()


@every_env
def test_wrappers_of_gymnasium_work(name):
    envs = RecordEpisodeStatistics(make_vec(name, 4, env_cfg_override=short(name)))
    envs = DictInfoToList(RescaleAction(envs, np.float32(-1), np.float32(1)))
    envs.reset(seed=1)
    episodes = []
    for action in actions_for(envs, SHORT_STEPS):
        infos = envs.step(action)[-1]
        episodes += [info["episode"] for info in infos if "episode" in info]
    assert len(episodes) >= 4
    assert all(1 <= episode["l"] <= SHORT_STEPS for episode in episodes)
    envs.close()


# Shapes and ends


@every_env
def test_shapes_types_and_metadata(name):
    envs = make_vec(name, 5)
    assert isinstance(envs, MotrixVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.spec.id == f"motrix/{name}"
    obs, infos = envs.reset(seed=1)
    assert obs in envs.observation_space
    assert obs.dtype == np.float32
    assert infos["steps"].tolist() == [0] * 5
    obs, reward, terminated, truncated, infos = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert (reward.shape, reward.dtype) == ((5,), np.float32)
    assert terminated.dtype == truncated.dtype == bool
    assert infos["_Reward"].shape == (5,)
    envs.close()


@every_env
def test_ends_come_with_final_observations_and_infos(name):
    envs = make_vec(name, 4, env_cfg_override=short(name))
    envs.reset(seed=1)
    *_, (obs, reward, terminated, truncated, infos) = run(envs, actions_for(envs, SHORT_STEPS))
    done = terminated | truncated
    assert done.any()
    assert not (terminated & truncated).any()
    for key in ("final_obs", "final_info"):
        np.testing.assert_array_equal(infos[f"_{key}"], done)
    final = infos["final_info"]
    for row in range(4):
        if not done[row]:
            assert infos["final_obs"][row] is None
            continue
        assert infos["final_obs"][row] in envs.single_observation_space
        assert not np.array_equal(infos["final_obs"][row], obs[row])
        assert 1 <= final["steps"][row] <= SHORT_STEPS
        assert infos["steps"][row] == 0
        terms = [v for k, v in final["Reward"].items() if not k.startswith("_")]
        assert sum(term[row] for term in terms) == pytest.approx(reward[row], rel=1e-5)
    np.testing.assert_array_equal(infos.get("_Reward", np.zeros(4, bool)), ~done)
    envs.close()


def test_a_single_environment_ends_with_its_last_observation():
    env = make("cartpole", env_cfg_override=short("cartpole"))
    env.reset(seed=1)
    ends = [env.step(np.zeros(1, np.float32)) for _ in range(SHORT_STEPS)]
    assert [end[3] for end in ends] == [False] * (SHORT_STEPS - 1) + [True]
    last_obs, _, terminated, _, info = ends[-1]
    assert terminated is False
    assert info["steps"] == SHORT_STEPS
    assert info["success"] is True
    first_obs, info = env.reset()
    assert info["steps"] == 0
    assert np.abs(first_obs - last_obs).max() > 0
    env.close()


@every_env
def test_a_single_environment_is_row_0(name):
    envs, env = make_vec(name, env_cfg_override=short(name)), make(
        name, env_cfg_override=short(name)
    )  # fmt: skip
    np.testing.assert_array_equal(envs.reset(seed=2)[0][0], env.reset(seed=2)[0])
    for action in actions_for(envs, 3 * SHORT_STEPS):
        obs, reward, terminated, truncated, _ = envs.step(action)
        mine = env.step(action[0])
        assert mine[1:4] == (reward[0], terminated[0], truncated[0])
        seen = env.reset()[0] if mine[2] or mine[3] else mine[0]
        np.testing.assert_array_equal(obs[0], seen)
    envs.close()
    env.close()


# Seeds and options


@every_env
def test_a_seed_starts_the_same_future_again(name):
    envs = make_vec(name, seed=11, env_cfg_override=short(name))
    actions = actions_for(envs, 2 * SHORT_STEPS)
    first = envs.reset(seed=4), *run(envs, actions)
    onwards = envs.reset()
    again = envs.reset(seed=4), *run(envs, actions)
    assert data_equivalence(first, again, exact=True)
    assert data_equivalence(onwards, envs.reset(), exact=True), "without a seed it goes on"
    fresh = make_vec(name, seed=4, env_cfg_override=short(name))
    assert data_equivalence(first, (fresh.reset(), *run(fresh, actions)), exact=True)
    assert fresh.np_random_seed == 4
    assert not data_equivalence(first[0], envs.reset(seed=5))
    envs.close()
    fresh.close()


def test_without_a_seed_two_environments_differ():
    one, other = make_vec("cartpole"), make_vec("cartpole")
    assert not np.array_equal(one.reset()[0], other.reset()[0])
    assert one.np_random_seed == one.np_env.seed
    one.close()
    other.close()


def test_environments_do_not_share_the_random_stream_of_their_spaces():
    one, other = make("cartpole"), make("cartpole")
    one.action_space.seed(1)
    expected = [one.action_space.sample() for _ in range(2)]
    one.action_space.seed(1)
    drawn = [one.action_space.sample()]
    other.action_space.seed(9)
    drawn.append(one.action_space.sample())
    np.testing.assert_array_equal(drawn, expected)
    one.close()
    other.close()


@pytest.mark.parametrize("make_one", [make, make_vec])
def test_mistakes_are_answered(make_one):
    with pytest.raises(ConfigError, match="max_episode_seconds"):
        make_one("cartpole", env_cfg_override={"max_episode_second": 1.0})
    with pytest.raises(ConfigError, match="render_mode = 'ascii'"):
        (MotrixEnv if make_one is make else MotrixVectorEnv)("cartpole", render_mode="ascii")
    with pytest.raises(MotrixError, match="no simulation backend named 'bullet'"):
        make_one("cartpole", sim_backend="bullet")
    envs = make_one("cartpole", sim_backend="motrixsim").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(envs.action_space.sample())
    with pytest.raises(ConfigError, match="no option 'low'"):
        envs.reset(options={"low": 1})
    with pytest.raises(gymnasium.error.Error, match="Seed must be"):
        envs.reset(seed=-1)
    envs.close()
    envs.close()


# Pictures


@pytest.fixture
def drawn():
    """Return an environment that can be drawn here."""
    env = make("cartpole", render_mode="rgb_array")
    env.reset(seed=1)
    try:
        env.render()
    except RenderError as error:
        pytest.skip(str(error))
    yield env
    env.close()


@pytest.mark.draws
@pytest.mark.slow
def test_pictures(drawn):
    env_render_passive_checker(drawn.unwrapped)
    upright = drawn.render()
    assert upright.std() > 5, "there is something to see"
    for _ in range(15):
        drawn.step(drawn.action_space.high)
    assert (drawn.render() != upright).any(), "the picture follows"


@pytest.mark.draws
@pytest.mark.slow
def test_pictures_of_a_batch(drawn):
    envs = make_vec("cartpole", 4, render_mode="rgb_array")
    envs.reset(seed=1)
    (frame,) = envs.render()
    assert (frame.dtype, frame.shape) == (np.uint8, drawn.render().shape)
    envs.close()


def test_no_picture_was_asked_for():
    env = make("cartpole").unwrapped
    env.reset()
    assert env.render() is None
    env.close()


def test_without_a_display_the_window_says_so(monkeypatch):
    if sys.platform != "linux":
        pytest.skip("other systems always have a display")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    env = make("cartpole", render_mode="human")
    with pytest.raises(RenderError, match=r"display|Vulkan"):
        env.reset()
    env.close()


# Registration


def python(code, **environment):
    """Run code in another process, where nothing has been imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


MAKE = "gymnasium.make_vec('motrix_envs:motrix/cartpole', num_envs=2).close()"


@pytest.mark.parametrize(
    "imports",
    [
        "import gymnasium",
        "import motrix_envs, gymnasium",
        "import gymnasium, motrix_envs",
        "import motrix_envs.registry, gymnasium",
        "from motrix_envs import registry; registry.make('cartpole').close(); import gymnasium",
        "import motrix_envs; from importlib.util import find_spec\n"
        "find_spec('gymnasium'); import gymnasium",
    ],
)
def test_every_order_of_imports(imports):
    python(f"{imports}\n{MAKE}")


def test_waiting_leaves_no_trace():
    """Neither package pulls in the other, and Gymnasium's loader is its own in the end."""
    python("""if True:
        import sys, motrix_envs
        heavy = {"numpy", "gymnasium", "motrixsim", "motrix_envs.registry"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        waiting = sys.meta_path[0]
        import gymnasium
        assert waiting not in sys.meta_path
        assert type(gymnasium.__loader__).__name__ == "SourceFileLoader"
        assert gymnasium.__spec__.loader is gymnasium.__loader__
        engine = {"motrixsim", "motrix_envs.gym", "motrix_envs.np.env"}
        assert not engine & set(sys.modules), "ids are only strings"
    """)


def test_a_failed_import_of_gymnasium_may_be_tried_again(tmp_path):
    (tmp_path / "gymnasium.py").write_text("raise ImportError('half installed')")
    python(f"""if True:
        import sys, motrix_envs
        sys.path.insert(0, {str(tmp_path)!r})
        try:
            import gymnasium
        except ImportError as error:
            assert "half installed" in str(error)
        sys.path.remove({str(tmp_path)!r})
        import gymnasium
        {MAKE}
    """)


PLUGINS = {
    "good": "def register(registry):\n    registry.lazy('my_envs', 'my-env', 'my/slash')\n",
    "bad": "raise OSError('broken library')\n",
}


@pytest.mark.parametrize("order", ["gymnasium, motrix_envs", "motrix_envs, gymnasium"])
@pytest.mark.parametrize("strict", ["0", "1"])
def test_ids_of_plugins_appear_and_failing_ones_harm_nobody(tmp_path, order, strict):
    for name, source in PLUGINS.items():
        (tmp_path / f"{name}_plugin.py").write_text(source)
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        entry = f"[motrix.envs]\n{name} = {name}_plugin:register\n"
        (info / "entry_points.txt").write_text(entry)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    wanted = "{'motrix/cartpole'}" if strict == "1" else "{'motrix/cartpole', 'motrix/my-env'}"
    code = f"import {order}\nassert {wanted} <= set(gymnasium.registry)"
    code += f"\n{MAKE}" if strict == "0" else ""
    done = python(code, PYTHONPATH=path, MOTRIX_STRICT_PLUGINS=strict)
    assert "broken library" in done.stderr
    assert ("my/slash" in done.stderr) == (strict == "0"), "an id that Gymnasium cannot take"


def test_environments_of_a_script_are_added_on_request():
    python("""if True:
        import gymnasium
        from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
        from motrix_envs.gym import register_all
        from motrix_envs.registry import env, envcfg
        env("my-pole", "np")(envcfg("my-pole")(CartPoleCfg) and CartPoleEnv)
        assert register_all() == ("motrix/my-pole",)
        assert register_all() == ()
        gymnasium.make("motrix/my-pole").close()
    """)


def test_all_ids_are_known():
    register_all()
    assert {f"motrix/{name}" for name in NAMES} <= set(gymnasium.registry)
