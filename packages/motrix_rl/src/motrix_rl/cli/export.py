"""`motrix export RUN|ENV`: a trained policy as a file that runs without Motrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from motrix_rl.cli.options import parse, subject
from motrix_rl.cli.trained import env_and_policy, find_trained
from motrix_rl.export import FORMATS, ExportedPolicy, export_module


@dataclass(kw_only=True)
class ExportOptions:
    """Write a trained policy as a function of tensors, compared with the policy beforehand."""

    format: Literal["onnx", "torch", "stablehlo"] = "onnx"
    """Kind of file: for onnxruntime, for torch.export, or for JAX."""
    checkpoint: str | None = None
    """Which one: best, latest, or its number of steps; by default best, latest if there is none."""
    out: Path | None = None
    """The file; by default export/policy with the format's suffix, in the run's folder."""
    trust: tuple[str, ...] = ()
    """Further packages from which the policy's class may be imported."""
    runs: Path = Path("runs")
    """Folder of all runs, where the newest one of an environment is looked for."""


def export(argv: list[str]) -> int:
    """Export a policy from the command line; return the exit code."""
    target, rest = subject("export", "a run or an environment RUN|ENV", argv, ExportOptions)
    options, _ = parse(ExportOptions, rest, prog=f"motrix export {target}")
    run, step = find_trained(target, options.runs)
    which = step if options.checkpoint is None else options.checkpoint
    # The environment is there for the contract: a policy that no longer fits is not handed out.
    env, policy = env_and_policy(run, which, num_envs=1, trusted=options.trust)
    env.close()
    out = options.out or run.path / "export" / f"policy{FORMATS[options.format].suffix}"
    show(export_module(policy.module, out, options.format, policy.contract))
    return 0


def show(exported: ExportedPolicy) -> None:
    """Print what was written and how it was checked."""
    agreement = exported.agreement
    print(f"policy: {exported.path} ({exported.size / 1024:.0f} KiB)")
    for name in ("inputs", "outputs"):
        for port in getattr(exported.signature, name):
            shape = ", ".join(["batch", *map(str, port.shape)])
            print(f"  {name[:-1]:6} {port.name} {port.dtype} ({shape})")
    print(
        f"compared with the policy on {agreement.observations} observations: the largest "
        f"difference is {agreement.difference:.1g}"
    )
    if agreement.unstable:
        print(
            f"{agreement.unstable} values differ by more: there the policy itself changes as much "
            "when an observation changes in its last digit"
        )
