"""Vocabularies and token ids. -> tokens/"""

import shlex

from text.steps import PIECES, STEPS

# The normalisation is a parameter only if it is not the default, so that earlier runs, which had
# the default, are not made again.
NORMALISATION = CONFIGURATION.vocabulary.normalisation

TOKENS = {model.tokens: model for model in MODELS.values()}


def vocabulary_size(tokens):
    """Size and normalisation of a vocabulary, as learn_vocabulary.py takes them."""
    size = CONFIGURATION.vocabulary_size_of(TOKENS[tokens])
    return size if NORMALISATION == "nmt_nfkc" else f"{size} --normalisation {NORMALISATION}"


def piece_limits(corpus):
    """The command-line option for the cleaning steps of a corpus that count pieces, if any."""
    steps = CONFIGURATION.cleaning_of(corpus)
    steps = [step for step in steps if STEPS[next(iter(step))].given == PIECES]
    return [f"--cleaning {shlex.quote(json.dumps(steps))}"] if steps else []


def text_of(tokens, split):
    """Path, without the language, of the text behind a split of token ids."""
    model = TOKENS[tokens]
    if split == NEWS_TEST:
        return f"{RESULTS}/corpora/{CONFIGURATION.news_corpus(model)}/test"
    corpus = CONFIGURATION.corpora[model.corpus]
    if split == "test" and corpus.test_from:
        return f"{RESULTS}/corpora/{corpus.test_from}/test"
    return f"{RESULTS}/corpora/{model.corpus}/{split}"


def token_splits(tokens):
    """Splits of a set of token ids: those of the corpus, and the news test set."""
    model = TOKENS[tokens]
    splits = splits_of(model.corpus)
    if CONFIGURATION.corpora[model.corpus].test_from:
        splits.append("test")
    return splits + ([NEWS_TEST] if CONFIGURATION.news_corpus(model) else [])


def token_files(tokens, splits):
    """The files that fairseq reads: dictionaries, and token ids of the given splits."""
    languages = TOKENS[tokens].languages
    folder = f"{RESULTS}/tokens/{tokens}"
    if len(languages) == 1:
        names = ["dict.txt"]
        infixes = [""]
    else:
        names = [f"dict.{language}.txt" for language in languages]
        infixes = [f".{'-'.join(languages)}.{language}" for language in languages]
    names += [f"{s}{i}.{e}" for s in splits for i in infixes for e in ("bin", "idx")]
    return [f"{folder}/{name}" for name in names]


rule learn_vocabulary:
    input:
        lambda wildcards: [
            f"{text_of(wildcards.tokens, 'train')}.{language}"
            for language in TOKENS[wildcards.tokens].languages
        ],
    output:
        model=f"{RESULTS}/tokens/{{tokens}}/sentencepiece.model",
        vocabulary=f"{RESULTS}/tokens/{{tokens}}/sentencepiece.vocab",
    log:
        f"{RESULTS}/logs/learn_vocabulary/{{tokens}}.log",
    priority: TEXT_FIRST
    group:
        "text"
    conda:
        "../envs/corpora.yaml"
    threads: 2
    resources:
        runtime=lambda wildcards: text_minutes(CONFIGURATION, TOKENS[wildcards.tokens].corpus),
        mem_mb=lambda wildcards: vocabulary_memory(
            CONFIGURATION,
            TOKENS[wildcards.tokens].corpus,
            len(TOKENS[wildcards.tokens].languages),
        ),
    params:
        size=lambda wildcards: vocabulary_size(wildcards.tokens),
        sentences=CONFIGURATION.vocabulary.sentences,
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/learn_vocabulary.py --text {input} --size {params.size}"
        " --sentences {params.sentences} --seed {params.seed} --threads {threads}"
        " --model {output.model} --vocabulary {output.vocabulary} > {log} 2>&1"


# One rule per vocabulary, because the names of the files depend on languages and splits.
for tokens in TOKENS:

    rule:
        name:
            f"binarise_text_{tokens.replace('-', '_').replace('.', '_')}"
        input:
            model=f"{RESULTS}/tokens/{tokens}/sentencepiece.model",
            texts=[
                f"{text_of(tokens, split)}.{language}"
                for split in token_splits(tokens)
                for language in TOKENS[tokens].languages
            ],
        output:
            token_files(tokens, token_splits(tokens)),
            f"{RESULTS}/tokens/{tokens}/tokens.json",
        log:
            f"{RESULTS}/logs/binarise_text/{tokens}.log",
        priority: TEXT_FIRST
        group:
            "text"
        conda:
            "../envs/corpora.yaml"
        threads: 4
        resources:
            runtime=text_minutes(CONFIGURATION, TOKENS[tokens].corpus),
            mem_mb=1000,
        params:
            languages=list(TOKENS[tokens].languages),
            splits=[f"--split {split} {text_of(tokens, split)}" for split in token_splits(tokens)]
            + piece_limits(TOKENS[tokens].corpus),
            folder=f"{RESULTS}/tokens/{tokens}",
        shell:
            "{PYTHON:q} {SCRIPTS:q}/binarise_text.py --model {input.model}"
            " --languages {params.languages} {params.splits} --output {params.folder}"
            " --threads {threads} > {log} 2>&1"


rule tokens:
    input:
        [file for name in TOKENS for file in token_files(name, token_splits(name))],
        expand(f"{RESULTS}/tokens/{{name}}/tokens.json", name=TOKENS),


def source_records(corpus):
    """Records of the archives of a corpus."""
    return [
        f"{RESULTS}/corpora/archives/{archive_of(source)}.json"
        for source in CORPORA[corpus].sources
        if source in CONFIGURATION.sources
    ]


def described_sources(corpus):
    """The sources of a corpus as record_provenance.py reads them."""
    described = []
    for source in CORPORA[corpus].sources:
        entry = {"name": source}
        if source in CONFIGURATION.sources:
            settings = CONFIGURATION.sources[source]
            entry["record"] = f"{RESULTS}/corpora/archives/{archive_of(source)}.json"
            entry |= {"licence": settings.licence, "citation": settings.citation}
        described.append(entry)
    return json.dumps(described, ensure_ascii=False)


# Trainings take the record as ancient: what it says anew is no reason to train. Snakemake (its issue
# 4166) then leaves out every outdated job behind them, until it plans anew after a checkpoint.
# An edit of the script is no reason to repeat it, since every part of the record is from the step
# that made the text or the ids.
checkpoint record_provenance:
    input:
        counts=f"{RESULTS}/corpora/{{corpus}}/counts.json",
        records=lambda wildcards: source_records(wildcards.corpus),
        tokens=lambda wildcards: [
            f"{RESULTS}/tokens/{name}/tokens.json"
            for name, model in TOKENS.items()
            if model.corpus == wildcards.corpus
        ],
    output:
        f"{RESULTS}/corpora/{{corpus}}/provenance.json",
    log:
        f"{RESULTS}/logs/record_provenance/{{corpus}}.log",
    priority: TEXT_FIRST
    localrule: True
    conda:
        "../envs/corpora.yaml"
    params:
        sources=lambda wildcards: described_sources(wildcards.corpus),
        sentences=CONFIGURATION.vocabulary.sentences,
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/record_provenance.py --counts {input.counts}"
        " --sources {params.sources:q} --tokens {input.tokens} --sentences {params.sentences}"
        " --seed {params.seed} --output {output} > {log} 2>&1"
