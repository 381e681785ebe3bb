"""Networks as data: choice, layout, initial values, and the observation normaliser."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_envs.errors import ConfigError
from motrix_rl.rl_module import Catalog, PPOCatalog, PPONumpyRLModule, UnsupportedSpaceError
from motrix_rl.rl_module.networks import (
    CNNEncoderConfig,
    FreeLogStdMLPHeadConfig,
    MLPEncoderConfig,
    RecurrentEncoderConfig,
)
from motrix_rl.rl_module.parameters import Parameter, initial_values

FLAT, IMAGE = spaces.Box(-1, 1, (3,)), spaces.Box(0, 255, (20, 16, 3), np.uint8)
TWO, MOVE = spaces.Discrete(2), spaces.Box(-1, 1, (2,))


def test_choice_of_encoder():
    assert isinstance(Catalog(FLAT, TWO, {}).encoder_config, MLPEncoderConfig)
    image = Catalog(IMAGE, TWO, {}).encoder_config
    assert isinstance(image, CNNEncoderConfig)
    assert image.input_scale == 1 / 255
    recurrent = Catalog(IMAGE, TWO, {"use_lstm": True, "lstm_cell_size": 7})
    assert isinstance(recurrent.encoder_config, RecurrentEncoderConfig)
    assert isinstance(recurrent.encoder_config.tokenizer_config, CNNEncoderConfig)
    assert recurrent.latent_dims == (7,)


@pytest.mark.parametrize(
    "space",
    [
        TWO,
        spaces.Box(-1, 1, (2, 2)),
        spaces.Box(-1, 1, ()),
        spaces.Dict({"a": FLAT}),
        None,
    ],
)
def test_unsupported_observations(space):
    with pytest.raises(UnsupportedSpaceError, match="FlattenObservation"):
        Catalog(space, TWO, {})


def test_unknown_framework():
    with pytest.raises(ValueError, match="no installed backend is called 'torhc'"):
        Catalog(FLAT, TWO, {}).build_encoder("torhc")


def test_ppo_catalog():
    catalog = PPOCatalog(FLAT, MOVE, {"hidden": [5], "post_fcnet_hiddens": [4]})
    assert catalog.pi_head_config.output_dims == (4,)
    assert catalog.vf_head_config.output_dims == (1,)
    assert {k: p.shape for k, p in catalog.pi_head_config.parameters().items()} == {
        "0/kernel": (5, 4),
        "0/bias": (4,),
        "out/kernel": (4, 4),
        "out/bias": (4,),
    }
    with pytest.raises(NotImplementedError, match="build_actor_critic_encoder"):
        catalog.build_encoder("torch")


def test_free_log_std():
    catalog = PPOCatalog(FLAT, MOVE, {"free_log_std": True, "initial_log_std": -1.0})
    layout = catalog.pi_head_config.parameters()
    assert layout["log_std"] == Parameter((2,), "constant", -1.0)
    assert layout["out/kernel"].shape == (256, 2)
    with pytest.raises(ConfigError, match="Box"):
        PPOCatalog(FLAT, TWO, {"free_log_std": True})
    with pytest.raises(ValueError, match="even number"):  # the reference crashes here itself
        FreeLogStdMLPHeadConfig((3,), output_layer_dim=3)


def test_privileged_observations():
    state = spaces.Box(-1, 1, (9,))
    catalog = PPOCatalog(FLAT, TWO, {"vf_share_layers": False, "hidden": [4]}, state)
    layout = catalog.actor_critic_encoder_config.parameters()
    assert layout["actor/0/kernel"].shape == (3, 4)
    assert layout["critic/0/kernel"].shape == (9, 4)
    with pytest.raises(ConfigError, match="vf_share_layers"):
        PPOCatalog(FLAT, TWO, {}, state)
    module = PPONumpyRLModule(
        observation_space=FLAT,
        action_space=TWO,
        state_space=state,
        model_config={"vf_share_layers": False, "hidden": [4]},
    )
    batch = {"obs": np.zeros((2, 3), np.float32), "state": np.zeros((2, 9), np.float32)}
    assert module.forward_train(batch)["vf_preds"].shape == (2,)
    with pytest.raises(ValueError, match="state is missing"):
        module.forward_train({"obs": batch["obs"]})
    module.forward_inference({"obs": batch["obs"]})


@pytest.mark.parametrize(
    "options",
    [
        {"cnn_filter_specifiers": [[4, 3, 1, "half"]]},
        {"cnn_filter_specifiers": [[4, 9, 1, "valid"]]},
        {"input_dims": (8, 8)},
    ],
)
def test_impossible_images(options):
    with pytest.raises(ValueError):
        CNNEncoderConfig(**{"input_dims": (8, 8, 3), **options})


def test_initial_values_depend_on_seed_and_name_alone():
    layout = MLPEncoderConfig((3,), (5, 4)).parameters()
    values = initial_values(layout, 1)
    assert np.abs(values["0/kernel"]).max() <= 1 / np.sqrt(3)
    assert values["0/kernel"].dtype == np.float32
    again = initial_values({"1/bias": layout["1/bias"], "0/kernel": layout["0/kernel"]}, 1)
    for name, value in again.items():
        np.testing.assert_array_equal(value, values[name])
    assert not np.array_equal(initial_values(layout, 2)["0/kernel"], values["0/kernel"])


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 5)])
def test_orthogonal_kernels(shape):
    kernel = initial_values({"k": Parameter(shape, "orthogonal", 2.0)}, 1)["k"]
    flat = kernel.reshape(-1, shape[-1]).astype(np.float64)
    gram = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


# Normaliser


def module_with_normaliser():
    return PPONumpyRLModule(
        observation_space=FLAT,
        action_space=MOVE,
        model_config={"hidden": [4], "seed": 1, "normalize_observations": True},
    )


def test_normaliser_learns_between_forwards_only(tmp_path):
    module = module_with_normaliser()
    rng = np.random.default_rng(0)
    chunks = [rng.normal([5, 0, -3], [2, 1e-3, 10], (n, 3)) for n in (1, 50, 500)]
    for chunk in chunks:
        module.update_normalizer(chunk)
    before = module.get_state("normalizer")["normalizer"]
    everything = np.concatenate(chunks)
    np.testing.assert_allclose(before["mean"], everything.mean(0), rtol=1e-10)
    np.testing.assert_allclose(before["variance"], everything.var(0), rtol=1e-8)
    assert before["count"] == 551
    assert before["count"].dtype == np.float64
    module.forward_train({"obs": chunks[0].astype(np.float32)})
    np.testing.assert_array_equal(
        module.get_state("normalizer")["normalizer"]["mean"], before["mean"]
    )
    # What is saved acts like what was trained.
    again = PPONumpyRLModule.from_checkpoint(module.save_to_path(tmp_path), inference_only=True)
    np.testing.assert_array_equal(again.act(chunks[1])[0], module.act(chunks[1])[0])


def test_no_normaliser_unless_asked():
    module = PPONumpyRLModule(
        observation_space=FLAT, action_space=MOVE, model_config={"hidden": [4]}
    )
    with pytest.raises(ConfigError, match="normalize_observations"):
        module.update_normalizer(np.zeros((1, 3)))
