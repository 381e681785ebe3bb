"""`TorchRLModule`: an RLModule that is a torch module."""

from __future__ import annotations

from typing import Any

import torch
from motrix_rl.rl_module import nested, states
from motrix_rl.rl_module.aliases import Batch, StateDict
from motrix_rl.rl_module.config import RLModuleConfig
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.networks import ModelConfig
from motrix_rl.rl_module.parameters import initial_values
from numpy.typing import NDArray
from torch import nn

from motrix_rl_torch.rl_module import layout
from motrix_rl_torch.rl_module.networks import build_model


class TorchRLModule(nn.Module, RLModule):
    """Base class of modules in torch; goes before other base classes.

    Create layers in `setup()` as attributes. Inference and exploration run without gradients;
    inference also runs in evaluation mode. The state is that of the torch module, in the canonical
    layout.
    """

    framework = "torch"

    def __init__(self, config: RLModuleConfig | None = None, **kwargs: Any) -> None:
        nn.Module.__init__(self)
        RLModule.__init__(self, config, **kwargs)

    def forward(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """Return `forward_train`, which is what wrappers such as DistributedDataParallel call."""
        return self.forward_train(batch, **kwargs)

    def forward_inference(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """Return what acting needs, without gradients and in evaluation mode."""
        # One by one, so that a part which its owner keeps in evaluation mode stays there.
        training = [module for module in self.modules() if module.training]
        try:
            for module in training:
                module.training = False
            with torch.no_grad():
                return super().forward_inference(batch, **kwargs)
        finally:
            for module in training:
                module.training = True

    def forward_exploration(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """Return what acting needs while collecting data, without gradients."""
        with torch.no_grad():
            return super().forward_exploration(batch, **kwargs)

    # Networks

    def add_network(self, name: str, config: ModelConfig, seed: int | None = None) -> None:
        """Create a network as an attribute; without a seed, torch's own generator gives one."""
        seed = int(torch.randint(2**62, ())) if seed is None else seed
        # The network's own draws are replaced: they must not move torch's generator.
        with torch.random.fork_rng(devices=[]):
            network = build_model(config)
        values = initial_values({f"{name}/{k}": v for k, v in config.parameters().items()}, seed)
        layout.write(network, states.unflatten(values).get(name, {}))
        self.add_module(name, network)

    def run_network(self, path: str, *inputs: Any) -> Any:
        """Return what a network makes of inputs; see `RLModule.run_network`."""
        return self._part(path.split("."))(*inputs)

    def _part(self, names: list[str]) -> nn.Module:
        """Return a nested module; `get_submodule` costs ten times as much."""
        part: nn.Module = self
        for name in names:
            part = part._modules[name]  # type: ignore[assignment]
        return part

    def write_buffer(self, path: str, array: NDArray[Any]) -> None:
        """Create or replace a buffer; see `RLModule.write_buffer`."""
        owner: nn.Module = self
        *parents, name = path.split(".")
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = owner.get_submodule(parent)
        old = owner._buffers.get(name)
        tensor = layout.to_tensor(array)
        owner.register_buffer(name, tensor if old is None else tensor.to(old.device))

    def read_buffer(self, path: str) -> torch.Tensor:
        """Return a buffer as float32."""
        *owners, name = path.split(".")
        buffer = self._part(owners)._buffers[name]
        assert buffer is not None
        return buffer.to(torch.float32)

    # State

    def _own_state(self) -> StateDict:
        return layout.read(self)

    def _take_state(self, state: StateDict) -> None:
        layout.write(self, state)

    # Between torch and NumPy

    def to_tensor(self, array: Any) -> Any:
        """Return (nested) arrays as tensors on the module's device."""
        some = next(self.parameters(), None)
        device = torch.device("cpu") if some is None else some.device
        return nested.transform(lambda leaf: layout.to_tensor(leaf).to(device), array)

    def to_numpy(self, tensor: Any) -> Any:
        """Return (nested) tensors as arrays."""
        return nested.transform(layout.to_array, tensor)

    def _spec_checks_off(self) -> bool:
        return torch.compiler.is_compiling()
