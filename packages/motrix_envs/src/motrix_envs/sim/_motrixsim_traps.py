"""What MotrixSim would do otherwise than the model says, and without a word: found here.

The text is read with its includes and default classes, so that only what really applies is
complained of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

Attributes = Mapping[str, str]
Classes = dict[str, dict[str, dict[str, str]]]
"""Default attributes by class and tag."""


@dataclass(frozen=True)
class Trap:
    """A thing in MJCF that MotrixSim reads without complaint and then does not do.

    Attributes:
        parent: Tag of the section that it stands in; None for anywhere.
        tag: Its own tag; None for any.
        found: Whether the attributes, default classes included, hold it.
        says: What the matter is, and what to write instead.
    """

    parent: str | None
    tag: str | None
    found: Callable[[Attributes], bool]
    says: str


def _number(attributes: Attributes, name: str, index: int = 0) -> float:
    values = attributes.get(name, "").split()
    return float(values[index]) if len(values) > index else 0.0


_HIDDEN = "is hidden from snapshots, which would not be exact;"

TRAPS = (
    Trap(
        "option",
        "flag",
        lambda a: a.get("constraint") == "disable",
        "constraint='disable' stops the actuators too; use contype='0' conaffinity='0' on the "
        "geoms and limited='false' on the joints",
    ),
    Trap(
        None,
        "joint",
        lambda a: "actuatorfrcrange" in a,
        "actuatorfrcrange has no effect; use forcerange on the actuator",
    ),
    Trap(
        None,
        "joint",
        lambda a: a.get("type") in ("free", "ball") and _number(a, "damping") != 0,
        "damping has no effect on free and ball joints; use hinges",
    ),
    Trap(
        None,
        "joint",
        lambda a: a.get("type") in ("free", "ball") and _number(a, "stiffness") != 0,
        "stiffness has no effect on free and ball joints; use hinges and slides",
    ),
    Trap(
        None,
        "joint",
        lambda a: _number(a, "springdamper") != 0,
        "springdamper gives another spring; use stiffness and damping",
    ),
    Trap(
        "actuator",
        "general",
        lambda a: a.get("gaintype") == "affine" and (_gain(a, 1) or _gain(a, 2)),
        "gaintype='affine' without its length and velocity terms; use biasprm for those",
    ),
    Trap(
        "actuator",
        None,
        lambda a: a.get("dyntype", "none") != "none",
        f"the activation of dyntype {_HIDDEN} use dyntype='none' and filter the control",
    ),
    Trap(
        "actuator",
        "position",
        lambda a: _number(a, "timeconst") != 0,
        f"the activation of timeconst {_HIDDEN} leave it out and filter the control",
    ),
    Trap(
        "sensor",
        None,
        lambda a: _number(a, "noise") != 0 or _number(a, "cutoff") != 0,
        "noise and cutoff have no effect; leave them out and add them to the observation",
    ),
    Trap("sensor", "framelinacc", lambda _: True, "gives no data; use an accelerometer"),
    Trap("sensor", "frameangacc", lambda _: True, "gives no data; difference the gyro"),
)


def _gain(attributes: Attributes, index: int) -> bool:
    return _number(attributes, "gainprm", index) != 0


def in_text(mjcf: str, folder: Path) -> list[str]:
    """Return a line for each trap in a model and the files that it includes or attaches.

    Args:
        mjcf: The text of the model; the engine has read it already, so it is well-formed.
        folder: Where its files are.
    """
    root = ElementTree.fromstring(mjcf)
    _include(root, folder)
    attached = [folder / name for model in root.iter("model") if (name := model.get("file"))]
    lines = [f"{_title(element)}: {trap.says}" for element, trap in _trapped(root)]
    return lines + [
        line
        for path in attached
        if path.is_file()
        for line in in_text(path.read_text(encoding="utf-8"), path.parent)
    ]


def in_scene(scene: Any) -> list[str]:
    """Return a line for each height field of a built model that nothing could collide with."""
    heights = [scene.get_hfield(index) for index in range(scene.num_hfields)]
    return [
        f"hfield '{field.name}': all heights are equal, so nothing collides with it; use a plane "
        "or a box"
        for field in heights
        if not np.ptp(field.height_matrix) > 0
    ]


def _include(root: Element, folder: Path) -> None:
    """Put the contents of included files in the place of their <include> elements."""
    for parent in list(root.iter()):
        for index, child in reversed(list(enumerate(parent))):
            path = folder / child.get("file", "")
            if child.tag == "include" and path.is_file():
                included = ElementTree.parse(path).getroot()
                _include(included, path.parent)
                parent[index : index + 1] = list(included)


def _title(element: Element) -> str:
    name = element.get("name")
    return f"{element.tag} '{name}'" if name else f"a {element.tag}"


def _trapped(root: Element) -> Iterator[tuple[Element, Trap]]:
    classes: Classes = {"main": {}}
    for section in root.findall("default"):
        section.set("class", "main")  # whatever the name, the outermost class applies to all
        _read_class(section, classes, {})
    for parent, element, default in chain.from_iterable(
        _walk(section, "main") for section in root if section.tag != "default"
    ):
        inherited = classes.get(element.get("class", default), {}).get(element.tag, {})
        attributes = {**inherited, **element.attrib}
        for trap in TRAPS:
            if (
                trap.parent in (None, parent)
                and trap.tag in (None, element.tag)
                and trap.found(attributes)
            ):
                yield element, trap


def _read_class(
    section: Element,
    classes: Classes,
    inherited: Mapping[str, dict[str, str]],
) -> None:
    """Fill in the attributes that a default class and its subclasses give to each tag."""
    name = section.get("class", "main")
    own = classes.setdefault(name, {})
    own |= {tag: {**attributes, **own.get(tag, {})} for tag, attributes in inherited.items()}
    for element in section:
        if element.tag != "default":
            own[element.tag] = {**own.get(element.tag, {}), **element.attrib}
    for element in section:
        if element.tag == "default":
            _read_class(element, classes, own)


def _walk(parent: Element, default: str) -> Iterator[tuple[str, Element, str]]:
    """Yield every element below with its parent's tag and the default class that reaches it."""
    default = parent.get("childclass", default)
    for element in parent:
        yield parent.tag, element, default
        yield from _walk(element, default)
