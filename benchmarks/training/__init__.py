"""How fast training is, beside bare physics and beside other tools; see benchmarks/README.md."""
