"""The settings and sources of a corpus, and the pairs that other corpora hold out from it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from common.files import UserError
from text.archives import read_archive_pairs
from text.cleaning import folded_keys
from text.lengths import UNITS
from text.lines import LineBatch, read_text_pairs
from text.splitting import check_sizes

REQUIRED = {"languages", "sources", "splits", "seed"}
OPTIONAL = {"steps", "lengths", "held_out_from"}
SOURCE_KEYS = {"archive": {"name", "archive", "path", "members"}, "text": {"name", "files"}}


def check_settings(settings: Mapping) -> None:
    """Check the settings of a corpus before anything is read.

    Raises
    ------
    UserError
        When a key is missing or unknown, there are not two languages, or a split is wrong.
    """
    missing, unknown = REQUIRED - set(settings), set(settings) - REQUIRED - OPTIONAL
    if missing or unknown:
        problems = [f"missing: {', '.join(sorted(missing))}"] if missing else []
        problems += [f"unknown: {', '.join(sorted(unknown))}"] if unknown else []
        known = ", ".join(sorted(REQUIRED | OPTIONAL))
        raise UserError(f"settings of the corpus: {'; '.join(problems)}. The keys are: {known}.")
    languages = settings["languages"]
    if len(languages) != 2 or languages[0] == languages[1]:
        raise UserError(f"languages should be two different ones, but are {languages}.")
    if not settings["sources"]:
        raise UserError("sources is empty: a corpus needs at least one source.")
    if isinstance(settings["seed"], bool) or not isinstance(settings["seed"], int):
        raise UserError(f"seed should be a whole number, but is {settings['seed']!r}.")
    for language, unit in (settings.get("lengths") or {}).items():
        if unit not in UNITS:
            raise UserError(
                f"lengths: that of {language} is {unit!r}, but should be one of {UNITS}."
            )
    check_sizes(settings["splits"])


def read_source(source: Mapping, languages: list[str]) -> Iterator[LineBatch]:
    """Read the raw pairs of one source, an archive or two text files, in batches.

    Raises
    ------
    UserError
        When the kind is unknown, a language has no file, or reading fails; see `archives`.
    """
    kind = source.get("kind")
    if kind not in SOURCE_KEYS:
        raise UserError(
            f'source {source.get("name")}: kind should be "archive" or "text", but is {kind!r}.'
        )
    lacking = sorted(SOURCE_KEYS[kind] - set(source))
    if lacking:
        raise UserError(f"source {source.get('name')}: it lacks {', '.join(lacking)}.")
    files = "members" if kind == "archive" else "files"
    absent = [language for language in languages if language not in source[files]]
    if absent:
        raise UserError(f"source {source['name']}: {files} has no file for {', '.join(absent)}.")
    names = [source[files][language] for language in languages]
    if kind == "text":
        return read_text_pairs([Path(name) for name in names])
    return read_archive_pairs(Path(source["archive"]), source["path"], names, languages)


def held_out_keys(folders: list[str] | None, languages: list[str]) -> np.ndarray:
    """Return the folded keys of the validation and test pairs of other prepared corpora.

    Raises
    ------
    UserError
        If a folder has no such pairs in these languages.
    """
    keys = b""
    for folder in folders or []:
        splits = [
            [Path(folder) / f"{split}.{language}" for language in languages]
            for split in ("valid", "test")
        ]
        found = [paths for paths in splits if all(path.exists() for path in paths)]
        if not found:
            raise UserError(
                f"held_out_from: {folder} holds no valid or test files in {', '.join(languages)}. "
                "Name the folder of a prepared corpus of the same languages."
            )
        for paths in found:
            for batch in read_text_pairs(paths):
                sides = [[line.decode() for line in side] for side in batch]
                keys += folded_keys(list(zip(*sides)))
    return np.frombuffer(keys, dtype="<u8")
