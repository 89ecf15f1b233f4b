"""Values of the configuration as they were typed, where YAML makes numbers of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml


def typed_text(
    key: str, value: Any, files: Iterable[Path] = (), arguments: Iterable[str] = ()
) -> Any:
    """The text that a value of the configuration was read from, or the value where it is none.

    YAML reads `2024_01` as the number 202401, `1e3` as 1000.0 and `no` as false: right for
    numbers, wrong for a name.

    Parameters
    ----------
    key
        At the top of the configuration.
    value
        What Snakemake made of it.
    files
        Configuration files, the later ones count more.
    arguments
        KEY=VALUE as given to Snakemake's --config; they count more than files.
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
