"""The provenance record of a corpus: its sources, code, counts, seeds and vocabularies.

Every part was written by the step that made the text or the ids, so the record stays correct if
the code is edited later. Only small files are read to make it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.files import UserError, replace_when_complete
from common.json_records import read_record

ARCHIVE_KEYS = ("url", "bytes", "sha256", "pinned")
COUNT_KEYS = ("read", "dropped", "splits")
TOKEN_KEYS = ("vocabulary", "vocabulary_sha256", "code", "sentencepiece", "splits")


def record_provenance(
    counts: Path,
    sources: Sequence[Mapping],
    tokens: Mapping[str, Path],
    vocabulary: Mapping[str, int],
    output: Path,
) -> dict:
    """Write the record of one corpus.

    Parameters
    ----------
    counts : path
        counts.json of the corpus.
    sources : sequence of mapping
        name of each source; for a downloaded one also record (the path of the JSON beside the
        archive) and, where known, licence and citation.
    tokens : mapping of str to path
        Name of a vocabulary learnt from this corpus to its tokens.json; empty for a test set.
    vocabulary : mapping
        seed, and the number of sentences that a vocabulary is learnt from; 0 = all.
    output : path

    Returns
    -------
    dict
        The written record.

    Raises
    ------
    UserError
        If a file is missing, damaged, or of an earlier version.
    """
    counted = read_record(counts, ("corpus", "languages", "seed", "code", "unicode", *COUNT_KEYS))
    record = {
        "corpus": counted["corpus"],
        "languages": counted["languages"],
        "seed": counted["seed"],
        "sources": [_source(source, counted["read"]) for source in sources],
        "steps": counted.get("steps", []),
        "counts": {key: counted[key] for key in COUNT_KEYS},
        "code": counted["code"],
        "unicode": counted["unicode"],
        "vocabularies": {
            name: _vocabulary(path, vocabulary) for name, path in sorted(tokens.items())
        },
    }
    with replace_when_complete(output) as temporary:
        text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8")
    return record


def cube_provenance(path: Path, tokens: str) -> str:
    """The provenance that a cube stores about its text, as JSON on one line.

    Parameters
    ----------
    path : path
        A record written by `record_provenance`.
    tokens : str
        Name of the vocabulary that the model is trained on.

    Raises
    ------
    UserError
        If the record is missing or damaged, or does not contain the vocabulary.
    """
    record = read_record(path, ("corpus", "seed", "sources", "counts", "code", "vocabularies"))
    if tokens not in record["vocabularies"]:
        known = ", ".join(record["vocabularies"]) or "none"
        raise UserError(
            f"{path} has no vocabulary {tokens}, only {known}. Make it anew: snakemake --force "
            f"{path}, with the run's --configfile and --cores. (Without the file, Snakemake would "
            "repeat the trainings of the corpus.)"
        )
    carried = {
        "corpus": record["corpus"],
        "seed": record["seed"],
        "sources": {source["name"]: source.get("sha256") for source in record["sources"]},
        "splits": record["counts"]["splits"],
        "code": record["code"],
        "vocabulary": {"name": tokens, **record["vocabularies"][tokens]},
    }
    return json.dumps(carried, sort_keys=True)


def _source(source: Mapping, read: Mapping[str, int]) -> dict:
    """The entry of a source: its record, licence and citation, and its number of read pairs."""
    entry = {"name": source["name"], "pairs_read": read.get(source["name"])}
    if source.get("record") is None:
        return {**entry, "generated": True}
    archive = read_record(Path(source["record"]), ARCHIVE_KEYS)
    known = {key: source[key] for key in ("licence", "citation") if source.get(key)}
    return {**entry, **{key: archive[key] for key in ARCHIVE_KEYS}, **known}


def _vocabulary(path: Path, vocabulary: Mapping[str, int]) -> dict:
    record = read_record(path, TOKEN_KEYS)
    return {
        "symbols": record["vocabulary"],
        "sha256": record["vocabulary_sha256"],
        "sentences": vocabulary["sentences"],
        "seed": vocabulary["seed"],
        "code": record["code"],
        "sentencepiece": record["sentencepiece"],
    }
