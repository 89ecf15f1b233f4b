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
from importlib import import_module
from pathlib import Path

from .analysis.profiles import layer_profile
from .cube.format import series_meaning
from .cube.layout import Cell, CubeError
from .cube.run_status import RunStatus, StatusError, read_status
from .errors import CheckpointError, ExplorerError, RecordingError
from .recording.partition import PartitionError

COMMANDS = (
    ("schema", ".schemas.command", "which cells a model has"),
    ("from-checkpoints", ".checkpoints.command", "cubes of a training that is over"),
    ("explore", ".explorer.command", "a page to explore cubes in, offline"),
)
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
    options = _parser(arguments[:1]).parse_args(arguments)
    try:
        for line in options.lines(options):
            print(line)
    except (*ERRORS, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
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
    yield f"loss           {_loss(status)}"
    yield f"validation     {_validation(status)}"
    yield f"learning rate  {_rates(status)}"
    yield from _conservation(status)
    total = sum(nats for _, nats in cells)
    top = max(1, min(top, len(cells)))
    yield f"sum of all LCA, estimator {estimator}: {total:.4f} nats (negative: the loss fell)"
    yield f"the {top} most helpful cells"
    yield from _table(status, cells[:top], total)
    yield f"the {top} least helpful cells"
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
    figure.parent.mkdir(parents=True, exist_ok=True)
    temporary = figure.with_name(f".{figure.name}.{os.getpid()}.tmp")
    try:
        with house_style():
            drawn = draw_layer_bars([profile])
            freeze_layout(drawn)
            drawn.savefig(temporary, format=figure.suffix[1:], metadata=METADATA[figure.suffix])
        os.replace(temporary, figure)
    finally:
        temporary.unlink(missing_ok=True)


def _parser(named: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only of the command that is named are there arguments, beside `show`."""
    parser = argparse.ArgumentParser(
        prog="losschange", description="Loss Change Allocation of a training."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    looking = commands.add_parser("show", help="where a training stands, and what helps it most")
    looking.set_defaults(lines=show)
    looking.add_argument(
        "path",
        type=Path,
        help="a folder of parts, the folder of a model or of its state, or a cube",
    )
    looking.add_argument(
        "--estimator", help="whose cells to list (default: batch, if it was recorded)"
    )
    looking.add_argument(
        "--top", type=int, default=5, metavar="N", help="cells to list (default: 5)"
    )
    looking.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the contribution of every layer, .png"
    )
    for name, place, about in COMMANDS:
        command = commands.add_parser(name, help=about)
        if name in named:
            # Its modules import PyTorch, which takes seconds.
            module = import_module(place, __package__)
            module.add_arguments(command)
            command.set_defaults(lines=module.run)
    return parser


def _loss(status: RunStatus) -> str:
    last, before, count = status.loss_means()
    if math.isnan(last):
        return "not recorded"
    text = f"{last:.4f} (mean of the last {count} updates"
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
    return f"{loss:.4f} after update {step}{tail}"


def _conservation(status: RunStatus) -> Iterator[str]:
    if not status.probes:
        yield "conservation   not measured: no probe was recorded"
        return
    yield "conservation     sum of LCA    measured       error   share   batch   up to"
    for name, found in status.probes.items():
        error = found.total - found.change
        yield (
            f"  {name:<14}{found.total:>11.4f} {found.change:>11.4f} {error:>11.2e}"
            f" {_ratio(abs(error), abs(found.change), '7.2%')}"
            f" {_ratio(found.batch_total, found.change, '6.2f')}x {found.updates:>7}"
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
