"""The configuration of sources, corpora and cleaning."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from text.steps import check_steps

from .configuration_fields import Count, Section
from .files import UserError


def _cleaning_steps(steps: list[dict[str, float]]) -> list[dict[str, float]]:
    try:
        check_steps(steps)
    except UserError as error:
        raise ValueError(str(error)) from None
    # As they are written: 250 in the records, not 250.0.
    return [
        {name: int(value) if value.is_integer() else value for name, value in step.items()}
        for step in steps
    ]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("allowed is a number")  # not 1 for yes
    return value


# Numbers may be text, as they are on the command line.
CleaningSteps = Annotated[
    list[dict[str, Annotated[float, BeforeValidator(_no_truth_value)]]],
    AfterValidator(_cleaning_steps),
]


class Source(Section):
    """An archive with the two sides of a parallel text."""

    url: str
    path: str | None = None
    members: dict[str, str]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    licence: str = "not stated"
    citation: str = "not stated"

    def mirror_path(self) -> str:
        """Path of the archive on a mirror, and below corpora/archives."""
        return self.path or urlsplit(self.url).path.lstrip("/")


class Corpus(Section):
    """Sources joined, cleaned and split."""

    languages: Annotated[list[str], Field(min_length=2, max_length=2)]
    sources: Annotated[list[str], Field(min_length=1)]
    train: Count | Literal["rest"]
    valid: Count
    test: Count | Literal["rest"]
    held_out_from: list[str] = []
