"""PyTorch backend of motrix-rl; found through the entry point group `motrix.rlcfgs`."""
