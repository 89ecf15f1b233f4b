"""Table 2: hyper-parameters in the paper, as configured, and as used in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from objectives import OBJECTIVES as ALL_OBJECTIVES
from report.table_files import MISSING, Table, read_record
from studies.vazquez2022.paper_values import HYPER_PARAMETERS, OBJECTIVES

KINDS = ("configured", "as_run")
# Required keys of a record.
KEYS = ("model", "objective", "configured", "as_run")


def settings_table(settings: Sequence[Mapping]) -> Table:
    """Table 2 from the settings of all models.

    Parameters
    ----------
    settings : sequence of mappings
        With "model", "objective", and flat mappings "configured" and "as_run". Where models of
        an objective differ, each value is listed with its models.
    """
    present = [o for o in OBJECTIVES if any(s["objective"] == o for s in settings)]
    columns = ["parameter", "paper"]
    columns += [f"{o.upper()} {kind.replace('_', ' ')}" for o in present for kind in KINDS]
    # Every training has the keys of all objectives; leave out those of objectives beyond the paper.
    others = [one for name, one in ALL_OBJECTIVES.items() if name not in OBJECTIVES]
    foreign = {key for one in others for key in one.own_settings}
    names = list(HYPER_PARAMETERS)
    found = {n for s in settings for kind in KINDS for n in s[kind]}
    names += sorted(found - foreign - set(names))
    rows = []
    for name in names:
        title, printed = HYPER_PARAMETERS.get(name, (name.replace("_", " "), MISSING))
        row = [title, printed]
        for objective in present:
            models = [s for s in settings if s["objective"] == objective]
            row += [_values(models, kind, name) for kind in KINDS]
        rows.append(row)
    return Table(
        title="Hyper-parameters: the paper's, as configured, and as run",
        columns=columns,
        rows=rows,
        notes=[
            "Values as run are read from the trained models, not from the configuration; "
            "differences should be checked. Parameters below the paper's are not in its Table 2."
        ],
    )


def _values(models: Sequence[Mapping], kind: str, name: str) -> str:
    found: dict[str, list[str]] = {}
    for settings in models:
        found.setdefault(value_text(settings[kind].get(name)), []).append(settings["model"])
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in found.items())


def value_text(value: object) -> str:
    """A setting in the paper's notation."""
    if value is None:
        return MISSING
    if isinstance(value, list | tuple):
        return f"({', '.join(map(value_text, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def fill(inputs, options) -> Table:
    """The table of a run."""
    return settings_table([read_record(path, KEYS) for path in inputs["settings"]])
