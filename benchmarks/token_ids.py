"""Token ids to train on in a benchmark: drawn by Zipf's law, or those of a text."""

from __future__ import annotations

from pathlib import Path


def write_zipf_tokens(folder: Path, pair: bool, vocabulary: int, sentences: int) -> Path:
    """Token ids by Zipf's law in a fairseq data folder; lengths are log-normal, like a text's."""
    import numpy as np
    import torch
    from fairseq.data import indexed_dataset

    data = folder / ("pair" if pair else "one")
    data.mkdir()
    random = np.random.default_rng(1)
    chances = 1 / np.arange(1, vocabulary - 3)
    for split, count in (("train", sentences), ("valid", 200)):
        lengths = np.clip(random.lognormal(3.15, 0.65, count), 1, 250).astype(int)
        for side in ("en", "de") if pair else ("",):
            prefix = data / (f"{split}.en-de.{side}" if pair else split)
            builder = indexed_dataset.make_builder(f"{prefix}.bin", "mmap", vocab_size=vocabulary)
            own = np.clip(lengths * random.normal(1.0, 0.15, count), 1, 250).astype(int)
            ids = 4 + random.choice(len(chances), own.sum(), p=chances / chances.sum())
            for words in np.split(ids, np.cumsum(own)[:-1]):
                builder.add_item(torch.from_numpy(np.append(words, 2)))
            builder.finalize(f"{prefix}.idx")
    lines = "".join(f"w{number} 1\n" for number in range(vocabulary - 4))
    for name in ("dict.en.txt", "dict.de.txt") if pair else ("dict.txt",):
        (data / name).write_text(lines)
    return data


def write_text_tokens(folder: Path, pair: bool, vocabulary: int, text: Path) -> Path:
    """Token ids of a text with the suffixes .en and .de, by the workflow's own code."""
    from text.binarisation import binarise
    from text.vocabulary import learn_vocabulary

    data, languages = folder / ("pair" if pair else "one"), ["en", "de"] if pair else ["en"]
    data.mkdir()
    model, sides = data / "vocabulary.model", [Path(f"{text}.{name}") for name in languages]
    learn_vocabulary(
        sides, vocabulary, sentences=0, seed=1, threads=1, model_path=model,
        vocabulary_path=data / "vocabulary.txt",
    )  # fmt: skip
    binarise(model, languages, {"train": text, "valid": text}, data)
    return data
