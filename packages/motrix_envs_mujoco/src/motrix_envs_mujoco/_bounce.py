"""Contacts that bounce: MuJoCo knows no restitution, but a contact can be told what to do.

Its acceleration is -damping·velocity - stiffness·penetration. With a damping of (1 + e)/dt one step
turns the normal velocity v into -e·v, and with 1/dt the sliding velocity into 0, as far as friction
allows. A geom alone cannot have two dampings, so that each pair that may collide is written out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from motrix_envs.errors import ModelError
from motrix_envs.sim.engine import Values
from motrix_envs.sim.model import Contact, Model

from motrix_envs_mujoco._library import mujoco

# Of the penetration, the share that a contact corrects in one step: enough that a ball does not
# sink in, and too little to add energy to the bounce.
ERROR_REDUCTION = 0.01
RIGID = (0.9999, 0.9999, 0.001, 0.5, 2.0)

PREFIX = "motrix."
"""How the names begin that are given to what has none in the model."""

# A pair has two sliding and two rolling directions.
_FIVE = [0, 0, 1, 2, 2]


def add_pairs(spec: Any, model: Model, timestep: float) -> None:
    """Write out the pairs of geoms that bounce.

    Raises:
        ModelError: MuJoCo could not do what is asked for.
    """
    if not model.contacts:
        return
    compiled = spec.compile()
    geoms = list(spec.geoms)
    for index, geom in enumerate(geoms):
        geom.name = geom.name or f"{PREFIX}geom.{index}"
    for i, j in itertools.combinations(range(len(geoms)), 2):
        found = [model.contacts[g.name] for g in (geoms[i], geoms[j]) if g.name in model.contacts]
        if found and may_collide(compiled, i, j):
            _add_pair(spec, geoms[i], geoms[j], found, timestep)


def _add_pair(spec: Any, one: Any, two: Any, contacts: list[Contact], timestep: float) -> None:
    names = {one.name, two.name}
    if one.priority != two.priority or any(
        {pair.geomname1, pair.geomname2} == names for pair in spec.pairs
    ):
        raise ModelError(
            f"geoms '{one.name}' and '{two.name}' have contact properties: write no <pair> and no "
            "priority for them"
        )
    restitution = sum(contact.restitution for contact in contacts) / len(contacts)
    spec.add_pair(
        name=f"{PREFIX}bounce.{one.name}.{two.name}",
        geomname1=one.name,
        geomname2=two.name,
        condim=max(one.condim, two.condim),
        friction=np.maximum(one.friction, two.friction)[_FIVE],
        margin=max(one.margin, two.margin),
        gap=max(one.gap, two.gap),
        solref=(-ERROR_REDUCTION / timestep**2, -(1 + restitution) / timestep),
        solreffriction=(-1.0, -1 / timestep),
        solimp=RIGID,
    )


def may_collide(compiled: Any, i: int, j: int) -> bool:
    """Whether MuJoCo looks for contacts between two geoms, by its own rules."""
    m = compiled
    masks = m.geom_contype[i] & m.geom_conaffinity[j] | m.geom_contype[j] & m.geom_conaffinity[i]
    bodies = [int(m.geom_bodyid[k]) for k in (i, j)]
    one, two = (int(m.body_weldid[body]) for body in bodies)
    if not masks or one == two:
        return False
    signature = (min(bodies) << 16) + max(bodies)
    if signature in m.exclude_signature.tolist():
        return False
    parents = [int(m.body_weldid[m.body_parentid[body]]) for body in (one, two)]
    related = one and two and (parents[0] == two or parents[1] == one)
    filtered = not m.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
    return not (related and filtered)


def pairs_of(compiled: Any, geom: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs that were written out for a geom, each with the other geom."""
    for pair in range(compiled.npair):
        name = mujoco.mj_id2name(compiled, mujoco.mjtObj.mjOBJ_PAIR, pair) or ""
        ends = int(compiled.pair_geom1[pair]), int(compiled.pair_geom2[pair])
        if name.startswith(PREFIX) and geom in ends:
            yield pair, ends[0] if ends[1] == geom else ends[1]


def combined(one: Values, two: Values) -> Values:
    """Return the friction of a pair, (k, 5), from that of its geoms, (k, 3) each."""
    return np.maximum(one, two)[:, _FIVE]
