"""Text: fetch the sources, or generate them; clean, split and count. -> corpora/"""

# Corpora of artificial text take their sentences from places this far apart: no overlap.
SYNTHETIC_STRIDE = 100_000_000

# No parameters of the rule: what is there is not fetched again because another mirror is named.
MIRROR = CONFIGURATION.mirror or ""
TRIES = CONFIGURATION.download_retries


def archive_of(source):
    """Path of a source's archive below its host, and below corpora/archives."""
    return urlsplit(CONFIGURATION.sources[source].url).path.lstrip("/")


ARCHIVES = {
    archive_of(source): source
    for settings in CORPORA.values()
    for source in settings.sources
    if source in CONFIGURATION.sources
}


# The progress bar and the reason of a failure go to the terminal, not to the log.
rule fetch_source:
    output:
        archive=f"{RESULTS}/corpora/archives/{{archive}}",
        record=f"{RESULTS}/corpora/archives/{{archive}}.json",
    log:
        f"{RESULTS}/logs/fetch_source/{{archive}}.log",
    wildcard_constraints:
        archive="|".join(map(re.escape, ARCHIVES)) or "none",
    localrule: True
    params:
        source=lambda wildcards: ARCHIVES[wildcards.archive],
        url=lambda wildcards: CONFIGURATION.sources[ARCHIVES[wildcards.archive]].url,
        sha256=lambda wildcards: CONFIGURATION.sources[ARCHIVES[wildcards.archive]].sha256 or "",
    shell:
        "{PYTHON} {SCRIPTS}/fetch_source.py --source {params.source} --url {params.url:q}"
        " --path {wildcards.archive} --sha256={params.sha256:q} --mirror={MIRROR:q}"
        " --retries {TRIES} --archive {output.archive} --record {output.record}"
        " > {log}"


rule generate_source:
    output:
        first=f"{RESULTS}/corpora/synthetic/{{corpus}}.{{number}}.first",
        second=f"{RESULTS}/corpora/synthetic/{{corpus}}.{{number}}.second",
    log:
        f"{RESULTS}/logs/generate_source/{{corpus}}.{{number}}.log",
    wildcard_constraints:
        number=r"\d+",
    group:
        "text"
    params:
        languages=lambda wildcards: CORPORA[wildcards.corpus].languages,
        source=lambda wildcards: synthetic_pairs(
            CORPORA[wildcards.corpus].sources[int(wildcards.number)]
        ),
        offset=lambda wildcards: SYNTHETIC_STRIDE
        * (10 * sorted(CONFIGURATION.corpora).index(wildcards.corpus) + int(wildcards.number)),
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON} {SCRIPTS}/generate_source.py --languages {params.languages}"
        " --pairs {params.source[0]} --domain {params.source[1]} --seed {params.seed}"
        " --offset {params.offset} --output {output.first} {output.second} > {log} 2>&1"


def source_files(corpus):
    """Files that a corpus is made of, in the order of its sources."""
    files = []
    for number, source in enumerate(CORPORA[corpus].sources):
        if source in CONFIGURATION.sources:
            files.append(f"{RESULTS}/corpora/archives/{archive_of(source)}")
        else:
            stem = f"{RESULTS}/corpora/synthetic/{corpus}.{number}"
            files += [f"{stem}.first", f"{stem}.second"]
    return files


def source_description(corpus, number, source):
    """One source as prepare_corpus.py reads it."""
    if source in CONFIGURATION.sources:
        return {
            "name": source,
            "kind": "archive",
            "archive": f"{RESULTS}/corpora/archives/{archive_of(source)}",
            "path": archive_of(source),
            "members": CONFIGURATION.sources[source].members,
        }
    stem = f"{RESULTS}/corpora/synthetic/{corpus}.{number}"
    sides = (f"{stem}.first", f"{stem}.second")
    return {
        "name": source,
        "kind": "text",
        "files": dict(zip(CORPORA[corpus].languages, sides)),
    }


def corpus_settings(corpus):
    """Everything that decides the text of a corpus, as JSON."""
    settings = CORPORA[corpus]
    return json.dumps(
        {
            "languages": settings.languages,
            "sources": [
                source_description(corpus, number, source)
                for number, source in enumerate(settings.sources)
            ],
            "splits": {split: getattr(settings, split) for split in splits_of(corpus)},
            "seed": CONFIGURATION.seed,
            "steps": [
                {"name": name, "value": value}
                for name, value in CONFIGURATION.cleaning.model_dump().items()
            ],
        }
    )


# One rule per corpus: languages and splits decide the names of the files.
for corpus in CORPORA:

    rule:
        name:
            f"prepare_corpus_{corpus.replace('-', '_')}"
        input:
            source_files(corpus),
        output:
            expand(
                f"{RESULTS}/corpora/{corpus}/{{split}}.{{language}}",
                split=splits_of(corpus),
                language=CORPORA[corpus].languages,
            ),
            f"{RESULTS}/corpora/{corpus}/counts.json",
        log:
            f"{RESULTS}/logs/prepare_corpus/{corpus}.log",
        group:
            "text"
        resources:
            runtime=text_minutes(CONFIGURATION, corpus),
            mem_mb=2500,
        params:
            corpus=corpus,
            settings=corpus_settings(corpus),
            folder=f"{RESULTS}/corpora/{corpus}",
        shell:
            "{PYTHON} {SCRIPTS}/prepare_corpus.py --corpus {params.corpus}"
            " --settings {params.settings:q} --output-folder {params.folder} > {log} 2>&1"


rule corpora:
    input:
        expand(f"{RESULTS}/corpora/{{corpus}}/counts.json", corpus=CORPORA),
