"""Make the splits of a corpus from its archives: read, clean, drop duplicates, split, write.

Two passes keep memory small: the first writes the clean pairs to a temporary folder and keeps
16 bytes per pair in memory, the second writes them to the splits.
"""

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from common.code_version import code_digest
from common.files import UserError
from text.batches import map_in_order
from text.cleaning import clean_batch
from text.dealing import deal_out
from text.lengths import units_of
from text.remainders import check_source, check_splits, check_sums
from text.sources import check_settings, held_out_keys, read_source
from text.splitting import (
    NEAR_DUPLICATE,
    SPLITS,
    UNUSED,
    Keys,
    are_among,
    assign_splits,
    first_occurrences,
    is_test_only,
)
from text.steps import (
    EVERY_TEXT,
    LENGTHS,
    PAIR,
    TRAINING_TEXT,
    Pair,
    Step,
    check_steps,
    steps_given,
)
from text.workplace import workplace

# Sources with fewer pairs are not checked for their share of invalid lines.
FEWEST_INVALID = 10


def prepare_corpus(
    corpus: str,
    settings: Mapping,
    output_folder: Path,
    processes: int = 1,
    invalid_utf8_share: float = 0.01,
) -> dict:
    """Prepare a corpus: write {train,valid,test}.<language> and counts.json.

    Sentences keep the order of the sources in every split, since language models are trained on
    consecutive sentences. A corpus that is only a test set (splits {"test": "rest"}) stays
    complete: only Unicode NFC and white space are normalised.

    Parameters
    ----------
    corpus
        Its name, for counts.json.
    settings
        languages (two), sources, splits, seed, and optionally steps (see `steps`), lengths
        (language to its unit; see `lengths`) and held_out_from: folders of prepared corpora whose
        validation and test pairs must not occur in this one.
    output_folder
        Folder of the files; they appear together when all are complete.
    processes
        Number of cleaning processes in addition to this one; the files do not depend on it.
    invalid_utf8_share
        A source with a larger share of pairs that are not UTF-8 is refused.

    Returns
    -------
    dict
        The content of counts.json.

    Raises
    ------
    UserError
        If the settings are wrong, a source cannot be read, there are too few pairs or none for
        a split, or the counts do not add up.
    """
    check_settings(settings)
    languages = list(settings["languages"])
    steps = check_steps(settings.get("steps") or [])
    changes = steps_given(steps, TRAINING_TEXT)
    if is_test_only(settings["splits"]):
        changes = []
    with workplace(Path(output_folder)) as folder:
        clean = [folder / f"clean.{language}" for language in languages]
        sources, keys = _first_pass(settings, steps, clean, processes, invalid_utf8_share)
        labels = _label_pairs(keys, settings, sources)
        counts = _counts(corpus, settings, sources, labels)
        check_splits(corpus, counts, settings["splits"])
        texts = {split: [folder / f"{split}.{x}" for x in languages] for split in counts["splits"]}
        dealt = deal_out(clean, labels, texts, changes, settings["seed"], processes)
        check_sums(counts, dealt.lines)
        counts["words"] = {
            split: dict(zip(languages, words)) for split, words in dealt.words.items()
        }
        counts["changed"] = dict(dealt.changed)
        record = folder / "counts.json"
        record.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        # Write the record last: if it exists, all files exist.
        for path in [*(path for paths in texts.values() for path in paths), record]:
            os.replace(path, Path(output_folder) / path.name)
    return counts


def _first_pass(
    settings: Mapping,
    steps: list[Step],
    clean: list[Path],
    processes: int,
    invalid_utf8_share: float,
) -> tuple[dict[str, dict], Keys]:
    """Write the clean pairs of all sources; return counts per source, and the pairs' keys."""
    languages = list(settings["languages"])
    cleaned = partial(
        clean_batch,
        steps=None if is_test_only(settings["splits"]) else steps_given(steps, PAIR, LENGTHS),
        changes=steps_given(steps, EVERY_TEXT),
        languages=languages,
        units=units_of(settings.get("lengths") or {}, languages),
    )
    sources: dict[str, dict] = {}
    exact, folded = bytearray(), bytearray()
    with open(clean[0], "wb") as first, open(clean[1], "wb") as second:
        for source in settings["sources"]:
            if source["name"] in sources:
                raise UserError(f"sources: the name {source['name']} is used twice.")
            read, dropped = 0, Counter[str]()
            examples: dict[str, tuple[str, Pair]] = {}
            for batch in map_in_order(cleaned, read_source(source, languages), processes):
                read += batch.read
                dropped += batch.dropped
                examples = batch.examples | examples
                exact += batch.exact
                folded += batch.folded
                first.write(batch.texts[0])
                second.write(batch.texts[1])
            invalid = dropped["invalid_utf8"]
            if invalid > max(invalid_utf8_share * read, FEWEST_INVALID):
                raise UserError(
                    f"source {source['name']}: {invalid} of {read} pairs are not UTF-8, more than "
                    f"the share of {invalid_utf8_share:g} that invalid_utf8_share allows. The text "
                    "is in another encoding, or damaged: convert it, or raise the share."
                )
            remarks = check_source(source["name"], read, dropped, examples)
            sources[source["name"]] = {"read": read, "dropped": dropped, "remarks": remarks}
    return sources, Keys(*(np.frombuffer(keys, dtype="<u8") for keys in (exact, folded)))


def _label_pairs(keys: Keys, settings: Mapping, sources: dict[str, dict]) -> np.ndarray:
    """Return the label of each clean pair (see `assign_splits`); count the dropped pairs."""
    kept = np.ones(len(keys.exact), dtype=bool)
    dropped = []
    if not is_test_only(settings["splits"]):
        kept = first_occurrences(keys.exact)
        dropped.append(("duplicate", ~kept))
        held_out = held_out_keys(settings.get("held_out_from"), settings["languages"])
        elsewhere = kept & are_among(keys.folded, held_out)
        dropped.append(("held_out", elsewhere))
        kept &= ~elsewhere
    labels = assign_splits(keys, kept, settings["splits"], settings["seed"])
    dropped.append(("near_duplicate_of_held_out", labels == NEAR_DUPLICATE))
    start = 0
    for counts in sources.values():
        end = start + counts["read"] - counts["dropped"].total()
        for reason, marked in dropped:
            counts["dropped"][reason] += int(np.sum(marked[start:end]))
        counts["splits"] = Counter(
            {name: int(np.sum(labels[start:end] == place)) for place, name in enumerate(SPLITS)}
        )
        counts["unused"] = int(np.sum(labels[start:end] == UNUSED)) - sum(
            int(np.sum(marked[start:end])) for reason, marked in dropped[:-1]
        )
        start = end
    return labels


def _counts(corpus: str, settings: Mapping, sources: dict[str, dict], labels: np.ndarray) -> dict:
    """The content of counts.json, without the counts made while the splits are written."""
    dropped = sum((counts["dropped"] for counts in sources.values()), Counter[str]())
    splits = sum((counts["splits"] for counts in sources.values()), Counter[str]())
    read = {name: counts["read"] for name, counts in sources.items()}
    return {
        "corpus": corpus,
        "languages": list(settings["languages"]),
        "seed": settings["seed"],
        "steps": list(settings.get("steps") or []),
        "lengths": dict(settings.get("lengths") or {}),
        "code": code_digest(Path(__file__).parent.rglob("*.py")),
        "unicode": unicodedata.unidata_version,
        "read": read,
        "dropped": dict(+dropped),
        "kept": sum(read.values()) - dropped.total(),
        "splits": {split: splits[split] for split in SPLITS if splits[split]},
        # Clean pairs that were not drawn because train is a number of pairs.
        "unused": sum(counts["unused"] for counts in sources.values()),
        "remarks": [remark for counts in sources.values() for remark in counts["remarks"]],
        # Pairs drawn per source: the draw is uniform over the pairs of all sources together.
        "sources": {
            name: {
                "dropped": dict(+counts["dropped"]),
                "splits": dict(+counts["splits"]),
                "unused": counts["unused"],
            }
            for name, counts in sources.items()
        },
    }
