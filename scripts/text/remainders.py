"""Check how many pairs of a source and a corpus remain, and that the counts add up."""

from collections import Counter
from collections.abc import Mapping

from common.files import UserError
from text.splitting import SPLITS
from text.steps import Pair

Examples = dict[str, tuple[str, Pair]]
EXAMPLE = 60  # characters shown of each side
MOST = 0.5  # a warning is given if a single reason leaves out a larger share of a source


def check_source(name: str, read: int, dropped: Counter, examples: Examples) -> list[str]:
    """Check that enough pairs of a source remain after cleaning.

    Parameters
    ----------
    name
        Name of the source.
    read
        Number of its pairs.
    dropped
        Reason to number of pairs left out.
    examples
        The attribute of `cleaning.CleanBatch`.

    Returns
    -------
    list of str
        A warning for every reason that left out more than half of the source.

    Raises
    ------
    UserError
        If the source is empty, or no pair of it remains.
    """
    if not read:
        raise UserError(f"source {name} holds no sentence pairs. Correct its members or address.")
    if dropped.total() >= read:
        reasons = "; ".join(_reason(reason, dropped, read, examples) for reason in dropped)
        raise UserError(
            f"source {name}: none of its {read} pairs is left after cleaning: {reasons}. Correct "
            "the steps under cleaning, or the source."
        )
    return [
        f"source {name}: {_reason(reason, dropped, read, examples)}. Is this intended? The steps "
        "are configured under cleaning, the units of lengths under lengths."
        for reason, number in dropped.items()
        if number > MOST * read
    ]


def _reason(reason: str, dropped: Counter, read: int, examples: Examples) -> str:
    step, pair = examples[reason]
    first, second = (text if len(text) <= EXAMPLE else f"{text[:EXAMPLE]}…" for text in pair)
    by = f"{step} ({reason})" if step else reason
    return f"{by} leaves out {dropped[reason]} of {read} pairs, for example {first!r} – {second!r}"


def check_splits(corpus: str, counts: Mapping, sizes: Mapping[str, int | str]) -> None:
    """Check that every configured split has pairs.

    Raises
    ------
    UserError
        If a split has no pairs; says why pairs were dropped.
    """
    for split, size in sizes.items():
        if size and not counts["splits"].get(split):
            read = sum(counts["read"].values())
            others = [f"{number} {name}" for name, number in counts["splits"].items()]
            others += [f"{number} {reason}" for reason, number in sorted(counts["dropped"].items())]
            raise UserError(
                f"{corpus}: no pair is left for {split}. Of {read} pairs read: "
                f"{', '.join(others) or 'nothing'}. Ask for fewer pairs in the other splits, or "
                "add a source."
            )


def check_sums(counts: Mapping, lines: Mapping[str, list[int]]) -> None:
    """Check that every read pair is counted once, and that every file has the counted lines.

    Parameters
    ----------
    counts
        The content of counts.json.
    lines
        Split to the number of lines written for each side.

    Raises
    ------
    UserError
        If the numbers do not add up; gives them. The corpus must not be used.
    """
    problems = []
    for name, read in counts["read"].items():
        source = counts["sources"][name]
        parts = [*source["dropped"].values(), *source["splits"].values(), source["unused"]]
        if sum(parts) != read or min(parts) < 0:
            problems.append(f"source {name}: {read} read, but {source} make {sum(parts)}")
    used = sum(counts["splits"].values()) + counts["unused"]
    if counts["kept"] != used:
        problems.append(f"{counts['kept']} pairs kept, but {used} in splits and unused")
    if sum(counts["read"].values()) != counts["kept"] + sum(counts["dropped"].values()):
        problems.append("pairs read are not those kept and dropped")
    for split in SPLITS:
        written = lines.get(split, [0, 0])
        if written != [counts["splits"].get(split, 0)] * 2:
            problems.append(f"{split}: {counts['splits'].get(split, 0)} pairs, {written} lines")
    if problems:
        raise UserError(
            f"{counts['corpus']}: the counts do not add up, so nothing was written: "
            f"{'; '.join(problems)}. This is a fault of the program: please report it."
        )
