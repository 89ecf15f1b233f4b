"""Base class and field types of the sections of the configuration."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


def _run_name(name: object) -> object:
    if not isinstance(name, str):
        raise ValueError(
            "allowed is text, but YAML read something else; put it in quotes, such as "
            "run: '2024_01'"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ValueError(
            "allowed is the name of one folder under results/, of the letters A to Z, digits, "
            "'_', '.' and '-', such as run: 2024-01_demo"
        )
    return name


def _list_of_seeds(seeds: object) -> object:
    if not isinstance(seeds, list | tuple):
        raise ValueError("allowed is a list, such as seeds: [1, 2], or [2] for one training each")
    return seeds


RunName = Annotated[str, BeforeValidator(_run_name)]
Seeds = Annotated[
    list[Annotated[int, Field(ge=1, lt=2**31)]],
    Field(min_length=1),
    BeforeValidator(_list_of_seeds),
]


class Section(BaseModel):
    """Base class of the sections; refuses unknown keys."""

    model_config = ConfigDict(extra="forbid")
