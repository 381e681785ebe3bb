"""MuJoCo behind the simulation seam of motrix-envs: `make("cartpole", sim_backend="mujoco")`."""
