"""How exported policies compare: difference over many observations, size, start, time of an action.

uv run export.py
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from motrix_rl.export import FORMATS, export_module
from motrix_rl.export.parity import observations
from motrix_rl.rl_module import PPONumpyRLModule, RLModule
from motrix_rl_jax.rl_module import PPOFlaxRLModule
from motrix_rl_torch.rl_module import PPOTorchRLModule

OBS, ACTIONS = spaces.Box(-np.inf, np.inf, (48,)), spaces.Box(-1, 1, (12,))
OPTIONS = {
    "fcnet_hiddens": [256, 128, 64],
    "fcnet_activation": "elu",
    "free_log_std": True,
    "normalize_observations": True,
    "vf_share_layers": False,
    "initialiser": "orthogonal",
    "seed": 1,
}
START = {
    "onnx": "import onnxruntime; onnxruntime.InferenceSession(PATH)",
    "torch": "import torch; torch.export.load(PATH).module()",
    "stablehlo": "import zipfile; from jax import export; export.deserialize("
    "bytearray(zipfile.ZipFile(PATH).read('function.stablehlo')))",
}


def policy(cls: type[RLModule]) -> RLModule:
    """Return the policy of a walker, with statistics and outputs as large as training leaves."""
    module = cls(observation_space=OBS, action_space=ACTIONS, model_config=OPTIONS)
    module.update_normalizer(np.random.default_rng(0).normal(0.5, 2, (5000, 48)))
    state = module.get_state()
    state["pi"]["out"]["kernel"] *= 100
    module.set_state(state)
    return module.for_inference()


def difference(module: RLModule, path: Path, rows: int) -> None:
    """Print the largest difference between a file and its module, relative above one."""
    function, _ = FORMATS["onnx"].read(path.read_bytes())
    obs = observations(OBS, rows)
    expected, found = (x.astype(np.float64) for x in (module.act(obs)[0], function([obs])[0]))
    absolute = np.abs(found - expected)
    relative = absolute / np.maximum(np.abs(expected), 1e-30)
    print(
        f"{type(module).__name__}, {len(obs)} observations: largest difference "
        f"{absolute.max():.1e} absolute, {np.minimum(absolute, relative).max():.1e} absolute or "
        f"relative; {np.mean(np.abs(expected) == 1):.0%} of the actions are on a bound"
    )


def microseconds(act: Callable[[], Any], repeats: int = 2000) -> float:
    """Return the median time of a call."""
    for _ in range(100):
        act()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))


def start_seconds(format: str, path: Path) -> float:
    """Return how long a fresh Python takes to load a file, the shortest of three."""
    code, times = START[format].replace("PATH", repr(str(path))), []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args().rows
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    for cls in (PPOTorchRLModule, PPOFlaxRLModule):
        module = policy(cls)
        difference(module, export_module(module, folder / "policy.onnx").path, rows)
    obs = np.random.default_rng(0).standard_normal((1, 48)).astype(np.float32)
    for name, format in FORMATS.items():
        path = folder / f"policy{format.suffix}"
        export_module(policy(PPOTorchRLModule), path, name)
        function, _ = format.read(path.read_bytes())
        taken = microseconds(lambda run=function: run([obs]))
        size, start = path.stat().st_size / 1024, start_seconds(name, path)
        print(f"{name}: {size:.0f} KiB, {start:.1f} s to load, {taken:.0f} us per action")
    for cls in (PPONumpyRLModule, PPOTorchRLModule):
        module = policy(cls)
        taken = microseconds(lambda act=module.act: act(obs))
        print(f"{cls.__name__}.act: {taken:.0f} us per action")


if __name__ == "__main__":
    main()
