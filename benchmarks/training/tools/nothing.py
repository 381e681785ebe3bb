"""No tool at all: random actions, and no learning. What is lost here, the environment costs."""

from motrix_envs import registry
from motrix_envs.np.actions import random_actions

from training.task import Task


def train(task: Task) -> None:
    """Step the environments."""
    env = registry.make(task.env_id, num_envs=task.num_envs, seed=task.seed)
    env.init_state()
    actions = random_actions(env.action_space, task.rollout, task.num_envs, task.seed)
    for step in range(task.steps):
        env.step(actions[step % task.rollout])
