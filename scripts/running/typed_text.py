"""Values of the configuration as the user typed them, before YAML converts them to numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml


def typed_text(
    key: str, value: Any, files: Iterable[Path] = (), arguments: Iterable[str] = ()
) -> Any:
    """The original text of a value of the configuration; the value itself if no text is found.

    YAML reads `2024_01` as the number 202401, `1e3` as 1000.0 and `no` as false: right for
    numbers, wrong for a name.

    Parameters
    ----------
    key
        A key at the top level of the configuration.
    value
        The value as Snakemake parsed it.
    files
        Configuration files; later files override earlier ones.
    arguments
        KEY=VALUE pairs of Snakemake's --config; they override the files.
    """
    found = value
    for file in files:
        try:
            loaded = yaml.load(Path(file).read_text(encoding="utf-8"), yaml.BaseLoader)
        except (OSError, yaml.YAMLError):
            continue
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), str):
            found = loaded[key]
    for argument in arguments:
        name, equals, text = str(argument).partition("=")
        if equals and name == key:
            found = text.strip("'\"")
    return found
