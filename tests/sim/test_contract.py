"""Every engine keeps the contract of the seam, on the models of this folder."""

from models import MODELS, TIMESTEPS
from motrix_envs.testing import SimulationContract


class TestMotrixSim(SimulationContract):
    engine = "motrixsim"
    models = MODELS
    timesteps = TIMESTEPS


class TestMujoco(SimulationContract):
    engine = "mujoco"
    models = MODELS
    timesteps = TIMESTEPS


class TestMujocoFast(SimulationContract):
    engine = "mujoco-fast"
    models = MODELS
    timesteps = TIMESTEPS
    isotropic_friction = False
