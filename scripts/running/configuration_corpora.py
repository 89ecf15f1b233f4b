"""The configuration of sources, corpora and cleaning."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from common.files import UserError
from text.addresses import DownloadError, locate
from text.archive_kinds import ArchiveError, archive_kind, holds_both_languages
from text.steps import check_steps

from .configuration_fields import Count, Section


def _cleaning_steps(steps: list[dict[str, float]]) -> list[dict[str, float]]:
    try:
        check_steps(steps)
    except UserError as error:
        raise ValueError(str(error)) from None
    # Keep numbers as they are written: the records show 250, not 250.0.
    return [
        {name: int(value) if value.is_integer() else value for name, value in step.items()}
        for step in steps
    ]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("allowed is a number")  # pydantic would read yes as 1
    return value


# Numbers may be given as text, because the command line gives text.
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

    @model_validator(mode="after")
    def _can_be_read(self) -> "Source":
        problems = []
        try:
            locate(self.url, self.mirror_path(), None)
            archive_kind(self.mirror_path())
        except (DownloadError, ArchiveError) as error:
            problems.append(f"{error} Correct url, or give the path that it has on a mirror")
        names = [name.removeprefix("./") for name in self.members.values()]
        for name in sorted({name for name in names if names.count(name) > 1}):
            if not holds_both_languages(name):
                both = [lang for lang, member in self.members.items() if member.endswith(name)]
                problems.append(
                    f"members: {name} is that of {' and '.join(both)}; a text cannot be its own "
                    "translation"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Treebank(Section):
    """A CoNLL-U file with the syntax of sentences of one language."""

    url: str
    path: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    licence: str = "not stated"
    citation: str = "not stated"

    def mirror_path(self) -> str:
        """Path of the file on a mirror, and below corpora/archives."""
        return self.path or urlsplit(self.url).path.lstrip("/")

    @model_validator(mode="after")
    def _can_be_found(self) -> "Treebank":
        try:
            locate(self.url, self.mirror_path(), None)
        except DownloadError as error:
            raise ValueError(str(error)) from None
        if not self.mirror_path().endswith(".conllu"):
            raise ValueError(f"{self.mirror_path()}: allowed are files whose name ends in .conllu")
        return self


# Names of corpora are also names of folders and rules.
CorpusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Language = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


# Every n-th of the pairs that are left after cleaning, as in fairseq's recipes.
EveryNth = Annotated[str, Field(pattern=r"^every [1-9]\d*$")]


class Corpus(Section):
    """Sources joined, cleaned and split.

    `test_from` names a corpus whose test pairs are this one's; `cleaning` and `vocabulary_size`
    replace those of the run.
    """

    languages: Annotated[list[Language], Field(min_length=2, max_length=2)]
    sources: Annotated[list[str], Field(min_length=1)]
    train: Count | Literal["rest"]
    valid: Count | EveryNth
    test: Count | Literal["rest"]
    test_from: str | None = None
    held_out_from: list[str] = []
    cleaning: CleaningSteps | None = None
    vocabulary_size: Annotated[int, Field(ge=8)] | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "Corpus":
        if self.test and self.test_from:
            raise ValueError(
                f"test: found {self.test} beside test_from {self.test_from}; allowed is one of them"
            )
        return self

    def splits(self) -> list[str]:
        """Splits that are made of the corpus's own sources."""
        return [split for split in ("train", "valid", "test") if getattr(self, split)]
