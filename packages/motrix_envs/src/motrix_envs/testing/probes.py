"""Small models on which the laws of an engine are tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from motrix_envs.sim.terrain import Terrain

HOPPER = """
<mujoco model="hopper">
  <compiler angle="radian"/>
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1"/>
    <body name="trunk" pos="0 0 0.6">
      <freejoint/>
      <inertial pos="0.02 0 0.01" mass="3" diaginertia="0.03 0.03 0.02"/>
      <geom name="trunk" type="box" size="0.1 0.08 0.05"/>
      <site name="imu" pos="0.1 0 0"/>
      <body name="thigh" pos="0 0 -0.05">
        <joint name="hip" type="hinge" axis="0 1 0" range="-1.2 1.2" limited="true"/>
        <inertial pos="0 0 -0.1" mass="0.6" diaginertia="0.003 0.003 0.001"/>
        <body name="shin" pos="0 0 -0.2">
          <joint name="knee" type="slide" axis="0 0 1" range="-0.1 0.1" limited="true"/>
          <inertial pos="0 0 -0.1" mass="0.3" diaginertia="0.001 0.001 0.0005"/>
          <geom name="foot" type="sphere" size="0.04" pos="0 0 -0.2"/>
          <site name="sole" pos="0 0 -0.2"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="hip" joint="hip" kp="40" kv="1" forcerange="-20 20"/>
    <position name="knee" joint="knee" kp="2000" kv="30" ctrlrange="-0.1 0.1" ctrllimited="true"/>
  </actuator>
  <sensor><gyro name="gyro" site="imu"/></sensor>
</mujoco>
"""
"""A floating trunk with a leg of a hinge and a slide, both driven by position servos."""

BALL = """
<mujoco model="ball">
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1"/>
    <body name="ball" pos="0 0 1">
      <freejoint/>
      <inertial pos="0 0 0" mass="2" diaginertia="0.008 0.008 0.008"/>
      <geom name="ball" type="sphere" size="0.1"/>
    </body>
  </worldbody>
</mujoco>
"""
"""A ball of 2 kg and 10 cm above a floor."""

BOX = """
<mujoco model="box">
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1" friction="0.1 0.005 0.0001"/>
    <body name="box" pos="0 0 0.05">
      <freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.01 0.01 0.01"/>
      <geom name="box" type="box" size="0.1 0.1 0.05" friction="0.5 0.005 0.0001"/>
    </body>
  </worldbody>
</mujoco>
"""
"""A box that lies on a floor more slippery than itself."""

CART = """
<mujoco model="cart">
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0"/>
      <inertial pos="0 0 0" mass="2" diaginertia="0.1 0.1 0.1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.1"/>
        <inertial pos="0 0 -0.5" mass="1" diaginertia="0.01 0.01 0.01"/>
        <geom name="pole" type="sphere" size="0.05" pos="0 0 -0.5"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="slider" gear="10"/></actuator>
</mujoco>
"""
"""A cart on a rail from which a pole hangs."""

ROD = """
<mujoco model="rod">
  <worldbody>
    <body name="rod">
      <joint name="hinge" type="hinge" axis="0 1 0"/>
      <geom name="rod" type="capsule" fromto="0 0 0 1 0 0" size="0.03" mass="1"/>
    </body>
  </worldbody>
</mujoco>
"""
"""A level capsule on a hinge at its end; its inertia follows from its shape."""

MOCAP = """
<mujoco model="mocap">
  <worldbody>
    <body name="target" mocap="true" pos="1 2 3">
      <geom name="target" type="sphere" size="0.1" contype="0" conaffinity="0"/>
    </body>
    <body name="ball" pos="0 0 1">
      <freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.004 0.004 0.004"/>
      <geom name="ball" type="sphere" size="0.1"/>
    </body>
  </worldbody>
</mujoco>
"""
"""A body that is put somewhere, beside one that falls."""


def on_terrain(ground: Terrain, points: Iterable[Any], radius: float) -> str:
    """Return a model of beads on upright rails that come to rest on uneven ground.

    Args:
        ground: The ground.
        points: Where the rails stand, (x, y) in m.
        radius: Radius of the beads in m.
    """
    beads = "".join(
        f"""
    <body name="bead {index}" pos="{x} {y} 1">
      <joint type="slide" axis="0 0 1" ref="1" damping="5"/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.01 0.01 0.01"/>
      <geom type="sphere" size="{radius}" contype="2" conaffinity="1"/>
    </body>"""
        for index, (x, y) in enumerate(points)
    )
    return f"""
<mujoco model="beads">
  <asset>{ground.asset("ground")}</asset>
  <worldbody>
    {ground.geom("ground", 'contype="1" conaffinity="2"')}
    {beads}
  </worldbody>
</mujoco>
"""
