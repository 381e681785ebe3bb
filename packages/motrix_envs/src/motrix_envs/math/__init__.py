"""Mathematics on batches: quaternions."""
