"""Write figures as reproducible PDF, PNG and SVG files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from common.files import replace_when_complete
from losschange.plots.style import freeze_layout

# Leave out dates and versions, which would make two files of the same figure differ.
METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def save_figure(figure: Figure, stem: Path) -> None:
    """Write stem.pdf, stem.png and stem.svg; the same figure gives the same bytes."""
    freeze_layout(figure)
    for kind, metadata in METADATA.items():
        with replace_when_complete(stem.with_name(f"{stem.name}.{kind}")) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata)
