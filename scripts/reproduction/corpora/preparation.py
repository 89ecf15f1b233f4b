"""From the archives of a corpus to its splits: read, clean, drop duplicates, divide, write.

Two passes keep memory small: the first writes the clean pairs to a temporary folder and keeps
16 bytes a pair in memory, the second deals them out to the splits.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from reproduction.corpora.archives import read_archive_pairs, read_text_pairs
from reproduction.corpora.cleaning import Keys, build_steps, clean_pairs, folded_key
from reproduction.corpora.splitting import (
    NEAR_DUPLICATE,
    SPLITS,
    UNUSED,
    assign_splits,
    check_sizes,
    first_occurrences,
    is_test_only,
)
from reproduction.files import UserError, replace_when_complete

REQUIRED = {"languages", "sources", "splits", "seed"}
OPTIONAL = {"steps", "held_out_from"}
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
    check_sizes(settings["splits"])


def read_source(source: Mapping, languages: list[str]) -> Iterator[tuple[bytes, bytes]]:
    """Read the raw pairs of one source, an archive or two text files.

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
    return read_archive_pairs(Path(source["archive"]), source["path"], names)


def held_out_keys(folders: list[str] | None, languages: list[str]) -> np.ndarray:
    """Return the folded keys of the validation and test pairs of other prepared corpora.

    Raises
    ------
    UserError
        When a folder holds neither, in these languages.
    """
    keys = []
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
            keys += [folded_key((a.decode(), b.decode())) for a, b in read_text_pairs(paths)]
    return np.array(keys, dtype=np.uint64)


def prepare_corpus(corpus: str, settings: Mapping, output_folder: Path) -> dict:
    """Prepare a corpus: write {train,valid,test}.<language> and counts.json.

    Sentences keep the order of the sources in every split, since language models are trained on
    consecutive sentences. A corpus that is only a test set (splits {"test": "rest"}) is kept
    complete: no cleaning but Unicode NFC and white space.

    Parameters
    ----------
    corpus
        Its name, for counts.json.
    settings
        languages (two), sources, splits, seed, and optionally steps (see `cleaning`) and
        held_out_from: folders of prepared corpora whose validation and test pairs must not
        occur in this one.
    output_folder
        Where the files go; they appear together when all are complete.

    Returns
    -------
    dict
        What counts.json holds.

    Raises
    ------
    UserError
        When the settings are wrong, a source cannot be read, or there are too few pairs.
    """
    check_settings(settings)
    output_folder = Path(output_folder)
    output_folder.mkdir(parents=True, exist_ok=True)
    languages = list(settings["languages"])
    test_only = is_test_only(settings["splits"])
    steps = None if test_only else build_steps(settings.get("steps") or [])
    dropped: Counter = Counter()
    with tempfile.TemporaryDirectory(prefix=".cleaning-", dir=output_folder) as folder:
        clean = [Path(folder) / f"clean.{language}" for language in languages]
        read, keys = _first_pass(settings, steps, clean, dropped)
        labels = _label_pairs(keys, settings, dropped)
        splits = {name: int(np.sum(labels == number)) for number, name in enumerate(SPLITS)}
        counts = {
            "corpus": corpus,
            "languages": languages,
            "seed": settings["seed"],
            "read": read,
            "dropped": {reason: number for reason, number in dropped.items() if number},
            "kept": sum(read.values()) - sum(dropped.values()),
            "splits": {name: number for name, number in splits.items() if number},
        }
        _second_pass(clean, labels, languages, counts, output_folder)
    return counts


def _first_pass(settings: Mapping, steps, clean: list[Path], dropped: Counter):
    """Write the clean pairs of all sources; return pairs read by source, and their keys."""
    read, parts = {}, []
    with ExitStack() as stack:
        # Both temporary files live in a folder that is removed, so only the error is of use here.
        paths = [stack.enter_context(replace_when_complete(path)) for path in clean]
        files = tuple(stack.enter_context(open(path, "wb")) for path in paths)
        for source in settings["sources"]:
            pairs = read_source(source, list(settings["languages"]))
            number, keys = clean_pairs(pairs, steps, files, dropped)
            if source["name"] in read:
                raise UserError(f"sources: the name {source['name']} is used twice.")
            read[source["name"]] = number
            parts.append(keys)
    return read, Keys(*(np.concatenate(column) for column in zip(*parts)))


def _label_pairs(keys: Keys, settings: Mapping, dropped: Counter) -> np.ndarray:
    """Return the label of each clean pair (see `assign_splits`); count what is dropped here."""
    kept = np.ones(len(keys.exact), dtype=bool)
    if not is_test_only(settings["splits"]):
        kept = first_occurrences(keys.exact)
        dropped["duplicate"] = int(np.sum(~kept))
        held_out = held_out_keys(settings.get("held_out_from"), settings["languages"])
        elsewhere = kept & np.isin(keys.folded, held_out)
        dropped["held_out"] = int(np.sum(elsewhere))
        kept &= ~elsewhere
    labels = np.full(len(kept), UNUSED, dtype=np.int8)
    distinct = Keys(keys.exact[kept], keys.folded[kept])
    labels[kept] = assign_splits(distinct, settings["splits"], settings["seed"])
    dropped["near_duplicate_of_held_out"] = int(np.sum(labels == NEAR_DUPLICATE))
    return labels


def _second_pass(clean, labels, languages, counts: dict, output_folder: Path) -> None:
    """Write the splits and counts.json from the clean pairs and the label of each."""
    words = {split: dict.fromkeys(languages, 0) for split in counts["splits"]}
    with ExitStack() as complete:
        # Replaced last, since the first to be entered is the last to be left.
        record = complete.enter_context(replace_when_complete(output_folder / "counts.json"))
        outputs = {
            (split, language): complete.enter_context(
                replace_when_complete(output_folder / f"{split}.{language}")
            )
            for split in counts["splits"]
            for language in languages
        }
        for language, path in zip(languages, clean):
            with ExitStack() as stack:
                files = {
                    SPLITS.index(split): (split, stack.enter_context(open(output, "wb")))
                    for (split, of), output in outputs.items()
                    if of == language
                }
                for label, line in zip(labels.tolist(), stack.enter_context(open(path, "rb"))):
                    if label in files:
                        split, file = files[label]
                        file.write(line)
                        words[split][language] += len(line.split())
        counts["words"] = words
        record.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
