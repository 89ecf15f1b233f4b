"""The command `losschange`.

losschange show FOLDER_OR_CUBE [--estimator batch] [--top 5] [--figure live.png]
losschange schema FOLDER_OR_CONFIG [--rules]
losschange from-checkpoints CHECKPOINT ... --text [NAME=]FILE --output FOLDER
losschange explore CUBE ... [--output FOLDER]

The first looks at a training while it runs, or at a finished cube; the second tells which cells a
model has; the third makes cubes of a training that is over, from its checkpoints; the fourth makes
a page to explore cubes in.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .analysis.profiles import layer_profile
from .command_line import command_line
from .cube.format import series_meaning
from .cube.layout import Cell, CubeError
from .cube.run_status import RunStatus, StatusError, read_status
from .errors import CheckpointError, ExplorerError, RecordingError
from .recording.partition import PartitionError

# Those that are told in a sentence.
ERRORS = (
    StatusError,
    CubeError,
    CheckpointError,
    ExplorerError,
    PartitionError,
    RecordingError,
)
# Folders that are called so in every training.
PLACE_NAMES = ("parts", "state")
# Dates and versions would make two figures of the same numbers differ.
METADATA = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error that was told in a sentence.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = command_line(arguments[:1], show).parse_args(arguments)
    try:
        for line in options.lines(options):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the lines, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def show(options: argparse.Namespace) -> list[str]:
    """What `losschange show` prints.

    Raises
    ------
    StatusError, CubeError
        See `describe` and `draw_status`.
    """
    status = read_status(options.path)
    status.attributes = {"model": _model_name(options.path), **status.attributes}
    recorded = list(status.totals)
    estimator = options.estimator or ("batch" if "batch" in recorded else recorded[-1])
    lines = list(describe(status, estimator, options.top))
    if options.figure:
        draw_status(status, estimator, options.figure)
        lines.append(f"figure         {options.figure}")
    return lines


def describe(status: RunStatus, estimator: str, top: int) -> Iterator[str]:
    """What there is to say about a training, line by line.

    Parameters
    ----------
    status : RunStatus
    estimator : str
        Whose cells are listed.
    top : int
        How many of the most and of the least helpful cells.

    Raises
    ------
    StatusError
        If the estimator was not recorded.
    """
    cells = status.cells(estimator)
    yield f"model          {status.attributes['model']}"
    yield f"update         {status.updates}"
    yield f"training loss  {_loss(status)}"
    yield f"validation     {_validation(status)}"
    yield f"learning rate  {_rates(status)}"
    yield from _conservation(status)
    total = sum(nats for _, nats in cells)
    top = max(1, min(top, len(cells)))
    yield f"sum of all LCA, estimator {estimator}: {total:.4f} nats (negative: the loss fell)"
    yield f"the {top} most helpful cells, and their shares of that sum"
    yield from _table(status, cells[:top], total)
    yield f"the {top} least helpful cells, and their shares of that sum"
    yield from _table(status, cells[: -top - 1 : -1], total)


def _rates(status: RunStatus) -> str:
    """The learning rate of the last update, of every group where there are several."""
    groups = [
        f"{_number(rate, '.3g')} ({series_meaning(name).removeprefix('learning rate of ')})"
        for name, rate in status.group_rates.items()
    ]
    return ", ".join(groups) or _number(status.rate[-1], ".3g")


def draw_status(status: RunStatus, estimator: str, figure: str | os.PathLike[str]) -> None:
    """Draw Figure 1 of what was recorded so far.

    Parameters
    ----------
    status : RunStatus
    estimator : str
    figure : path
        Ends in .png, .pdf or .svg; replaced when complete.

    Raises
    ------
    StatusError
        If the figure's format is unknown, matplotlib is missing, or there are no layers to draw.
    """
    figure = Path(figure)
    if figure.suffix not in METADATA:
        raise StatusError(f"{figure} should end in one of {', '.join(METADATA)}")
    status.check_estimator(estimator)
    if not {"encoder", "decoder"} & set(status.layout.stacks):
        raise StatusError("the model has no Transformer layers, so there is nothing to draw")
    try:
        from .plots.layer_bars import draw_layer_bars
        from .plots.style import freeze_layout, house_style
    except ImportError as error:
        raise StatusError(
            f"a figure needs matplotlib ({error}); install it, or leave --figure out"
        ) from None
    profile = layer_profile(status.summary(), estimator)
    temporary = figure.with_name(f".{figure.name}.{os.getpid()}.tmp")
    try:
        figure.parent.mkdir(parents=True, exist_ok=True)
        with house_style():
            drawn = draw_layer_bars([profile])
            freeze_layout(drawn)
            drawn.savefig(temporary, format=figure.suffix[1:], metadata=METADATA[figure.suffix])
        os.replace(temporary, figure)
    except OSError as error:
        raise StatusError(f"{figure} could not be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _loss(status: RunStatus) -> str:
    last, before, count = status.loss_means()
    if math.isnan(last):
        return "not recorded"
    text = f"{last:.4f} nats per token (mean of the last {count} updates"
    if math.isnan(before):
        return text + ")"
    way = "lower" if last <= before else "higher"
    return f"{text}; {abs(last - before):.4f} {way} than of the {count} before)"


def _validation(status: RunStatus) -> str:
    if not status.valid_losses:
        return "not measured yet"
    step, loss = status.valid_losses[-1]
    best_step, best = min(status.valid_losses, key=lambda found: found[1])
    tail = "" if best_step == step else f"; lowest: {best:.4f} after {best_step}"
    return f"{loss:.4f} nats per token after update {step}{tail}"


def _conservation(status: RunStatus) -> Iterator[str]:
    if not status.probes:
        yield "conservation   not measured: no probe was recorded"
        return
    width = max(12, *map(len, status.probes))
    heads = ("sum of LCA", "measured", "error", "error, %", "batch / measured", "after update")
    yield "conservation: does the LCA of a text add up to the change of its loss? In nats per token"
    yield "  " + " " * width + "".join(f"  {head:>{max(10, len(head))}}" for head in heads)
    for name, found in status.probes.items():
        error = found.total - found.change
        yield (
            f"  {name:<{width}}  {found.total:>10.4f}  {found.change:>10.4f}  {error:>10.2e}"
            f"  {_ratio(100 * abs(error), abs(found.change), '10.2f'):>10}"
            f"  {_ratio(found.batch_total, found.change, '16.2f'):>16}  {found.updates:>12}"
        )


def _table(status: RunStatus, cells: Sequence[tuple[Cell, float]], total: float) -> Iterator[str]:
    for cell, nats in cells:
        head = "" if cell.head is None else f"head {cell.head}"
        yield (
            f"  {status.layout.labels[cell.layer]:<11}{cell.component:<12}{head:<8}"
            f"{nats:>11.4g} nats {_ratio(nats, total, '8.2%')}"
        )


def _model_name(path: Path) -> str:
    """What a file or folder is called where its attributes do not say it."""
    if path.is_file():
        return path.stem
    return next((name for name in reversed(path.resolve().parts) if name not in PLACE_NAMES), "")


def _ratio(part: float, whole: float, style: str) -> str:
    return format(part / whole, style) if whole and not math.isnan(part) else "-"


def _number(value: float, style: str) -> str:
    return "not recorded" if math.isnan(value) else format(value, style)


if __name__ == "__main__":
    sys.exit(main())
