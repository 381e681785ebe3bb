"""The classics of the DeepMind Control Suite: same observations, rewards, times and starts."""
