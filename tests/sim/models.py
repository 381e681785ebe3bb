"""Robots on which engines are compared: from published dimensions, with inertias written out."""

from pathlib import Path

import motrix_envs.basic
from motrix_envs.sim import Contact, Model


def _rod(mass: float, length: float, radius: float) -> str:
    """Return the inertial of a rod that hangs down from a joint, as a solid cylinder."""
    across = mass * (length**2 / 12 + radius**2 / 4)
    along = mass * radius**2 / 2
    return (
        f'<inertial pos="0 0 {-length / 2}" mass="{mass}" '
        f'diaginertia="{across:.8f} {across:.8f} {along:.8f}"/>'
    )


def _segment(name: str, joint: str, mass: float, length: float, radius: float, inside: str) -> str:
    """Return a limb that hangs on a hinge, with `inside` at its end."""
    return f"""
    <joint name="{name}" type="hinge" axis="0 1 0" {joint}/>
    {_rod(mass, length, radius)}
    <geom name="{name}" type="capsule" fromto="0 0 0 0 0 {-length}" size="{radius}"/>
    {inside}"""


def _walker_leg(side: str, y: float) -> str:
    foot = f"""
    <body name="{side}_foot" pos="0 0 -0.43">
      <joint name="{side}_ankle" type="hinge" axis="0 1 0" range="-0.8 0.8"/>
      <inertial pos="0.06 0 -0.04" mass="1.0" diaginertia="0.0006 0.0044 0.0044"/>
      <geom name="{side}_foot" type="capsule" fromto="-0.06 0 -0.04 0.18 0 -0.04" size="0.04"/>
    </body>"""
    shin = f"""
    <body name="{side}_shin" pos="0 0 -0.42">
      {_segment(f"{side}_knee", 'range="-2.4 0"', 3.3, 0.43, 0.045, foot)}
    </body>"""
    return f"""
    <body name="{side}_thigh" pos="0 {y} -0.3">
      {_segment(f"{side}_hip", 'range="-0.7 1.8"', 7.1, 0.42, 0.06, shin)}
    </body>"""


# Lengths and masses of a person of 1.75 m and 70 kg, after Winter, Biomechanics and Motor Control
# of Human Movement, table 4.1.
WALKER = f"""
<mujoco model="planar walker">
  <compiler angle="radian"/>
  <default>
    <joint damping="1" armature="0.01" limited="true"/>
    <geom friction="0.9 0.005 0.0001" contype="1" conaffinity="2"/>
    <motor ctrlrange="-1 1" ctrllimited="true"/>
  </default>
  <worldbody>
    <light pos="0 -3 4" dir="0 0.5 -1"/>
    <geom name="floor" type="plane" size="50 5 0.1" contype="2" conaffinity="1"/>
    <body name="torso" pos="0 0 1.25">
      <joint name="root_x" type="slide" axis="1 0 0" limited="false" damping="0" armature="0"/>
      <joint name="root_z" type="slide" axis="0 0 1" limited="false" damping="0" armature="0"/>
      <joint name="root_y" type="hinge" axis="0 1 0" limited="false" damping="0" armature="0"/>
      <inertial pos="0 0 0" mass="47" diaginertia="1.6 1.6 0.3"/>
      <geom name="torso" type="capsule" fromto="0 0 -0.28 0 0 0.28" size="0.09"/>
      {_walker_leg("right", -0.09)}
      {_walker_leg("left", 0.09)}
    </body>
  </worldbody>
  <actuator>
    <motor name="right_hip" joint="right_hip" gear="100"/>
    <motor name="right_knee" joint="right_knee" gear="60"/>
    <motor name="right_ankle" joint="right_ankle" gear="40"/>
    <motor name="left_hip" joint="left_hip" gear="100"/>
    <motor name="left_knee" joint="left_knee" gear="60"/>
    <motor name="left_ankle" joint="left_ankle" gear="40"/>
  </actuator>
</mujoco>
"""

LEGS = {"FR": (1, -1), "FL": (1, 1), "RR": (-1, -1), "RL": (-1, 1)}
STAND = (0.0, 0.9, -1.8)


def _dog_leg(leg: str, front: int, left: int) -> str:
    return f"""
    <body name="{leg}_hip" pos="{front * 0.1881} {left * 0.04675} 0">
      <joint name="{leg}_hip" class="hip"/>
      <inertial pos="{front * -0.0049} {left * 0.0012} 0" mass="0.51"
        diaginertia="0.0004 0.0006 0.0005"/>
      <body name="{leg}_thigh" pos="0 {left * 0.08} 0">
        <joint name="{leg}_thigh" class="thigh"/>
        <inertial pos="-0.003 {left * -0.019} -0.033" mass="0.90"
          diaginertia="0.0045 0.0042 0.0013"/>
        <geom name="{leg}_thigh" type="box" pos="0 0 -0.1065" size="0.0123 0.017 0.1065"
          contype="0" conaffinity="0"/>
        <body name="{leg}_calf" pos="0 0 -0.213">
          <joint name="{leg}_calf" class="calf"/>
          <inertial pos="0.006 0 -0.13" mass="0.16" diaginertia="0.0017 0.0017 0.00004"/>
          <geom name="{leg}_foot" type="sphere" pos="0 0 -0.213" size="0.02"/>
          <site name="{leg}_foot" pos="0 0 -0.213"/>
        </body>
      </body>
    </body>"""


_SERVOS = "\n".join(
    f'<position name="{leg}_{part}" joint="{leg}_{part}" kp="40" kv="1" '
    f'forcerange="{-limit} {limit}"/>'
    for leg in LEGS
    for part, limit in (("hip", 23.7), ("thigh", 23.7), ("calf", 35.55))
)

# Dimensions, masses and torque limits that Unitree publishes for the Go1.
QUADRUPED = f"""
<mujoco model="quadruped">
  <compiler angle="radian"/>
  <default>
    <joint axis="0 1 0" armature="0.005" damping="0.1" limited="true"/>
    <geom friction="0.8 0.005 0.0001"/>
    <default class="hip"><joint axis="1 0 0" range="-0.86 0.86"/></default>
    <default class="thigh"><joint range="-0.69 4.5"/></default>
    <default class="calf"><joint range="-2.82 -0.89"/></default>
  </default>
  <worldbody>
    <light pos="0 0 4" dir="0 0 -1"/>
    <geom name="floor" type="plane" size="50 50 0.1"/>
    <body name="trunk" pos="0 0 0.27">
      <freejoint/>
      <inertial pos="0.011 0.0005 -0.0005" mass="5.2" diaginertia="0.0168 0.063 0.0716"/>
      <geom name="trunk" type="box" size="0.188 0.047 0.057"/>
      <site name="imu" pos="0 0 0"/>
      {"".join(_dog_leg(leg, *sides) for leg, sides in LEGS.items())}
    </body>
  </worldbody>
  <actuator>
    {_SERVOS}
  </actuator>
  <sensor><gyro name="gyro" site="imu"/></sensor>
</mujoco>
"""

# A basketball, size 7: a thin shell.
BALL = """
<mujoco model="ball with restitution">
  <default><geom friction="0.6 0.005 0.0001"/></default>
  <worldbody>
    <light pos="0 0 4" dir="0 0 -1"/>
    <geom name="floor" type="plane" size="10 10 0.1"/>
    <body name="ball" pos="0 0 0.2">
      <freejoint/>
      <inertial pos="0 0 0" mass="0.62" diaginertia="0.00595 0.00595 0.00595"/>
      <geom name="ball" type="sphere" size="0.12"/>
    </body>
  </worldbody>
</mujoco>
"""

CARTPOLE = Path(motrix_envs.basic.__file__).with_name("cartpole.xml")

MODELS = {
    "cartpole": Model.from_file(CARTPOLE),
    "walker": Model(WALKER),
    "quadruped": Model(QUADRUPED),
    "ball": Model(BALL, contacts={"ball": Contact(0.8)}),
}
TIMESTEPS = {"cartpole": 0.01, "walker": 0.004, "quadruped": 0.005, "ball": 0.004}
