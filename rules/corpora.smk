"""Text: fetch the sources, or generate them; clean, split and count. -> corpora/"""

from text.corpora_lock import read_lock
from text.records import check_digest
from common.files import UserError

# Corpora of artificial text use sentence numbers this far apart, so that they do not overlap.
SYNTHETIC_STRIDE = 100_000_000


def archive_of(source):
    """Path of a source's archive on a mirror, and below corpora/archives."""
    return FETCHED[source].mirror_path()


# Everything that this run may fetch: the archives of corpora, and treebanks of the main models.
TREEBANKS = {
    f"treebank-{language}": treebank
    for name in RUN_FILES.main_models()
    for language, treebank in CONFIGURATION.treebanks_of(MODELS[name]).items()
    if any(study.treebanks for study in STUDIES)
}
LOCAL_TREEBANKS = [
    treebank.mirror_path() for treebank in TREEBANKS.values() if treebank.url.startswith("file:")
]
FETCHED = {**CONFIGURATION.sources, **TREEBANKS}
ARCHIVES = {
    archive_of(source): source
    for settings in CORPORA.values()
    for source in settings.sources
    if source in CONFIGURATION.sources
} | {treebank.mirror_path(): name for name, treebank in TREEBANKS.items()}
SOURCES_LISTED = json.dumps(
    [
        {
            "name": name,
            "url": source.url,
            "path": source.mirror_path(),
            "licence": source.licence,
            "citation": source.citation,
        }
        for name, source in FETCHED.items()
        if source.mirror_path() in ARCHIVES
    ]
)

# These are not parameters of the rules: existing files are not made again when another mirror is
# configured, or when their digest is added to the configuration.
MIRROR = CONFIGURATION.mirror or ""
TRIES = CONFIGURATION.download_retries
TIMEOUT = CONFIGURATION.download_timeout
UNPACKED_LIMIT = CONFIGURATION.unpacked_limit
INVALID_SHARE = CONFIGURATION.invalid_utf8_share
DIGESTS = {
    archive: FETCHED[source].sha256
    for archive, source in ARCHIVES.items()
    if FETCHED[source].sha256
}
DIGESTS_JSON = json.dumps(DIGESTS)
LOCK = CONFIGURATION.corpora_lock or ""

try:
    LOCKED = read_lock(Path(LOCK)) if LOCK else {}
    for archive, source in ARCHIVES.items():
        place = Path(f"{RESULTS}/corpora/archives/{archive}")
        sha256 = DIGESTS.get(archive) or LOCKED.get(archive)
        check_digest(source, sha256, place, place.with_name(f"{place.name}.json"))
        if LOCKED.get(archive, sha256) != sha256:
            raise UserError(
                f"sources.{source}.sha256 is {sha256}, but {LOCK} says {LOCKED[archive]} of "
                f"{archive}. Correct the one, or delete the line of the other."
            )
except UserError as error:
    raise WorkflowError(str(error))

# The default; --resources downloads=N replaces it.
if "downloads" not in workflow.global_resources:
    workflow.global_resources["downloads"] = CONFIGURATION.parallel_downloads

LIST_SOURCES = (
    "{PYTHON:q} {SCRIPTS:q}/list_sources.py --sources {SOURCES_LISTED:q} --mirror={MIRROR:q}"
    " --folder {RESULTS}/corpora/archives"
)


def list_missing_sources():
    """Print the sizes and licences of all archives before any of them is fetched."""
    missing = [path for path in rules.fetch.input if not Path(path).exists()]
    if "fetch" in workflow.dag_settings.targets and missing:
        shell(LIST_SOURCES)


rule fetch:
    input:
        expand(f"{RESULTS}/corpora/archives/{{archive}}", archive=ARCHIVES),
    log:
        f"{RESULTS}/logs/fetch.log",
    localrule: True
    conda:
        "../envs/corpora.yaml"
    shell:
        "{PYTHON:q} {SCRIPTS:q}/list_sources.py --sources {SOURCES_LISTED:q} --mirror={MIRROR:q}"
        " --folder {RESULTS}/corpora/archives --lock={LOCK:q} | tee {log}"


# The progress bar and the reason of a failure go to the terminal, not to the log.
rule fetch_source:
    output:
        archive=f"{RESULTS}/corpora/archives/{{archive}}",
        record=f"{RESULTS}/corpora/archives/{{archive}}.json",
    log:
        f"{RESULTS}/logs/fetch_source/{{archive}}.log",
    wildcard_constraints:
        archive="|".join(re.escape(path) for path in ARCHIVES if path not in LOCAL_TREEBANKS)
        or "none",
    priority: TEXT_FIRST
    localrule: True
    conda:
        "../envs/corpora.yaml"
    resources:
        downloads=1,
    params:
        source=lambda wildcards: ARCHIVES[wildcards.archive],
        url=lambda wildcards: FETCHED[ARCHIVES[wildcards.archive]].url,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/fetch_source.py --source {params.source:q} --url {params.url:q}"
        " --path {wildcards.archive:q} --digests {DIGESTS_JSON:q} --mirror={MIRROR:q}"
        " --retries {TRIES} --timeout {TIMEOUT} --unpacked-limit {UNPACKED_LIMIT}"
        " --archive {output.archive:q} --record {output.record:q} --lock={LOCK:q} > {log:q}"


# A treebank on this machine: a mirror replaces only the addresses of publishers, not this path.
rule fetch_local_treebank:
    output:
        archive=f"{RESULTS}/corpora/archives/{{archive}}",
        record=f"{RESULTS}/corpora/archives/{{archive}}.json",
    log:
        f"{RESULTS}/logs/fetch_local_treebank/{{archive}}.log",
    wildcard_constraints:
        archive="|".join(map(re.escape, LOCAL_TREEBANKS)) or "none",
    localrule: True
    conda:
        "../envs/corpora.yaml"
    params:
        source=lambda wildcards: ARCHIVES[wildcards.archive],
        url=lambda wildcards: FETCHED[ARCHIVES[wildcards.archive]].url,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/fetch_source.py --source {params.source:q} --url {params.url:q}"
        " --path {wildcards.archive:q} --digests {DIGESTS_JSON:q} --archive {output.archive:q}"
        " --record {output.record:q} --lock={LOCK:q} > {log:q}"


rule generate_source:
    output:
        first=f"{RESULTS}/corpora/synthetic/{{corpus}}.{{number}}.first",
        second=f"{RESULTS}/corpora/synthetic/{{corpus}}.{{number}}.second",
        # The syntax of the same sentences. Each sentence is stored with its text, by which it is
        # found in the prepared corpus.
        first_relations=f"{RESULTS}/corpora/synthetic/{{corpus}}.{{number}}.first.conllu",
        second_relations=f"{RESULTS}/corpora/synthetic/{{corpus}}.{{number}}.second.conllu",
    log:
        f"{RESULTS}/logs/generate_source/{{corpus}}.{{number}}.log",
    wildcard_constraints:
        number=r"\d+",
    priority: TEXT_FIRST
    group:
        "text"
    conda:
        "../envs/corpora.yaml"
    params:
        languages=lambda wildcards: CORPORA[wildcards.corpus].languages,
        source=lambda wildcards: synthetic_pairs(
            CORPORA[wildcards.corpus].sources[int(wildcards.number)]
        ),
        offset=lambda wildcards: SYNTHETIC_STRIDE
        * (10 * sorted(CONFIGURATION.corpora).index(wildcards.corpus) + int(wildcards.number)),
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/generate_source.py --languages {params.languages}"
        " --pairs {params.source[0]} --domain {params.source[1]} --seed {params.seed}"
        " --offset {params.offset} --output {output.first} {output.second}"
        " --relations {output.first_relations} {output.second_relations} > {log} 2>&1"


def source_files(corpus):
    """Files that a corpus is made of: its sources, and held-out texts of other corpora."""
    files = []
    for number, source in enumerate(CORPORA[corpus].sources):
        if source in CONFIGURATION.sources:
            files.append(f"{RESULTS}/corpora/archives/{archive_of(source)}")
        else:
            stem = f"{RESULTS}/corpora/synthetic/{corpus}.{number}"
            files += [f"{stem}.first", f"{stem}.second"]
    for other in CORPORA[corpus].held_out_from:
        files += [
            f"{RESULTS}/corpora/{other}/{split}.{language}"
            for split in splits_of(other)
            for language in CORPORA[corpus].languages
            if split != "train"
        ]
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
    lengths = {
        language: unit
        for language, unit in CONFIGURATION.lengths.items()
        if language in settings.languages
    }
    return json.dumps(
        {
            "languages": settings.languages,
            "sources": [
                source_description(corpus, number, source)
                for number, source in enumerate(settings.sources)
            ],
            "splits": {split: getattr(settings, split) for split in splits_of(corpus)},
            "seed": CONFIGURATION.seed,
            "steps": CONFIGURATION.cleaning_of(corpus),
            # Added only if there are any, so that corpora of earlier runs are not made again.
            **({"lengths": lengths} if lengths else {}),
            "held_out_from": [f"{RESULTS}/corpora/{name}" for name in settings.held_out_from],
        }
    )


# One rule per corpus, because the names of the files depend on languages and splits.
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
        priority: TEXT_FIRST
        group:
            "text"
        conda:
            "../envs/corpora.yaml"
        # A corpus that is only a test set is small; with one thread its job can run beside a
        # training.
        threads: 2 if CORPORA[corpus].train else 1
        resources:
            runtime=text_minutes(CONFIGURATION, corpus),
            mem_mb=2500,
        params:
            corpus=corpus,
            settings=corpus_settings(corpus),
            folder=f"{RESULTS}/corpora/{corpus}",
        shell:
            "{PYTHON:q} {SCRIPTS:q}/prepare_corpus.py --corpus {params.corpus}"
            " --settings {params.settings:q} --output-folder {params.folder}"
            # Also print to the terminal how many pairs each split has, and how many were dropped.
            " --processes {threads} --invalid-utf8-share {INVALID_SHARE} 2>&1 | tee {log}"


rule corpora:
    input:
        expand(f"{RESULTS}/corpora/{{corpus}}/counts.json", corpus=CORPORA),
