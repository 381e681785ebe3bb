"""rllib "skrl": PPO as skrl implements it, with our environments, runs and logging around it."""
