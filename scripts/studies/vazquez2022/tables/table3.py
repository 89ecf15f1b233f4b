"""Table 3: sentences per split, as the paper prints them and as counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from report.table_files import MISSING, Table, read_record
from studies.vazquez2022.paper_values import SENTENCES

SPLITS = ("train", "valid", "test")
# Required keys of a record.
KEYS = ("corpus", "languages", "splits")


def sentence_table(counts: Sequence[Mapping]) -> Table:
    """Table 3 from the counts of the corpora of a run.

    Parameters
    ----------
    counts : sequence of mappings
        With "corpus", "languages" and "splits" (split to number of sentence pairs).
    """
    counted = {entry["corpus"]: entry for entry in counts}
    corpora = [*SENTENCES, *(name for name in counted if name not in SENTENCES)]
    columns = ["data set", "pair"]
    columns += [f"{split} {origin}" for split in SPLITS for origin in ("paper", "here")]
    rows = []
    for corpus in corpora:
        entry = counted.get(corpus, {"languages": (), "splits": {}})
        data_set, pair, printed = SENTENCES.get(corpus, (corpus, "-".join(entry["languages"]), {}))
        row = [data_set, pair]
        for split in SPLITS:
            number = entry["splits"].get(split)
            row += [printed.get(split, MISSING), str(number) if number else MISSING]
        rows.append(row)
    absent = [corpus for corpus in SENTENCES if corpus not in counted]
    notes = ["Sentence pairs after cleaning, counted in the prepared files."]
    if absent:
        notes.append(f"Not part of this run: {', '.join(absent)}.")
    return Table("Sentences per split: the paper's and as counted", columns, rows, notes)


def fill(inputs, options) -> Table:
    """The table of a run."""
    return sentence_table([read_record(path, KEYS) for path in inputs["counts"]])
