"""States of words in the trained models, and their analysis. -> words/, states/, spaces/ ...

words/<language>.nc is the table of words, states/<model>.nc the states of all layers,
spaces/<model>.nc the description of one model, hidden_words/<model>.nc the measures of the model
with hidden words, comparisons/<model>+<model>.nc the comparison of two models, and
over_training/<model>.nc that of the snapshots.
"""

from studies.representations.spaces import (
    described_models,
    main_models,
    models_by_language,
    pairs,
    piece_limit,
    text_corpora,
)

SPACES = CONFIGURATION.representations
SPACE_SETTINGS = json.dumps(SPACES.model_dump())
SPACE_TEXTS = {
    language: f"{RESULTS}/corpora/{corpus}/{{split}}.{language}"
    for corpus, language in text_corpora(CONFIGURATION).items()
}
# Only generated sentences have known parts of speech.
SPACE_TREEBANKS = {
    language: (
        [
            f"{RESULTS}/corpora/synthetic/{corpus}.{number}.{side}.conllu"
            for number in range(len(CORPORA[corpus].sources))
            for side, its_language in zip(("first", "second"), CORPORA[corpus].languages)
            if its_language == language
        ]
        if CONFIGURATION.is_generated(corpus)
        else []
    )
    for corpus, language in text_corpora(CONFIGURATION).items()
}
SPACE_PAIRS = list(pairs(RUN_FILES))
SPACE_MODELS = RUN_FILES.trainings(model.name for model in described_models(CONFIGURATION))
SPACE_MAIN = RUN_FILES.trainings(model.name for model in main_models(CONFIGURATION))
# Minutes that a job may need at the size of the paper.
SPACE_MINUTES = 120


def layers_compared(pair):
    """Which layers of two models are compared: all pairs of layers, or those of equal depth."""
    return "all" if pair.kind == "objectives" and pair.first in SPACE_MAIN else "equal"


def words_of(wildcards):
    """The table of words of the language that a model reads."""
    return f"{RESULTS}/words/{model_of(wildcards).source}.nc"


def vocabulary_of(model):
    """The SentencePiece model of a model's text."""
    return f"{RESULTS}/tokens/{model.tokens}/sentencepiece.model"


def extraction_of(training):
    """The entry of a training in the option --models of extract_states.py."""
    model = REPLICATES[training][0]
    described = training in SPACE_MODELS
    return {
        "checkpoint": f"{RESULTS}/models/{training}/checkpoint.pt",
        "tokens": f"{RESULTS}/tokens/{model.tokens}",
        "vocabulary": vocabulary_of(model),
        "name": model.tokens,
        "states": f"{RESULTS}/states/{training}.nc",
        "hidden": f"{RESULTS}/hidden_words/{training}.nc" if described else None,
    }


for language, read in models_by_language(CONFIGURATION).items():
    vocabularies = {model.tokens: vocabulary_of(model) for model in read}
    readers = RUN_FILES.trainings(model.name for model in read)
    extractions = [extraction_of(training) for training in readers]
    compared = [pair for pair in SPACE_PAIRS if pair.first in readers]

    rule:
        name:
            rule_name("collect_words", language)
        input:
            text=SPACE_TEXTS[language].format(split=SPACES.split),
            counted=SPACE_TEXTS[language].format(split="train"),
            vocabularies=list(vocabularies.values()),
            treebanks=SPACE_TREEBANKS[language],
            code=uses("collect_words"),
        output:
            f"{RESULTS}/words/{language}.nc",
        log:
            f"{RESULTS}/logs/collect_words/{language}.log",
        localrule: True
        conda:
            "../../envs/figures.yaml"
        params:
            vocabularies=[f"--vocabulary {name} {path}" for name, path in vocabularies.items()],
            counted=SPACES.counted_sentences,
            words=SPACES.words,
            limit=piece_limit(CONFIGURATION, language),
        shell:
            "{PYTHON:q} {input.code[0]:q} --text {input.text} {params.vocabularies}"
            " --counted-text {input.counted} --counted-sentences {params.counted}"
            " --words {params.words} --limit {params.limit} --treebanks {input.treebanks}"
            " --output {output} > {log} 2>&1"

    rule:
        name:
            rule_name("extract_states", language)
        input:
            words=f"{RESULTS}/words/{language}.nc",
            checkpoints=[model["checkpoint"] for model in extractions],
            tokens=[token_files(model.tokens, ["train"]) for model in read],
            vocabularies=list(vocabularies.values()),
            code=uses("extract_states"),
        output:
            states=[model["states"] for model in extractions],
            hidden=[model["hidden"] for model in extractions if model["hidden"]],
        log:
            f"{RESULTS}/logs/extract_states/{language}.log",
        conda:
            "../../envs/training.yaml"
        threads: CONFIGURATION.execution.threads
        resources:
            **GPU_MODEL,
            runtime=SPACE_MINUTES,
            mem_mb=max(model_memory(COSTS[model.name]) for model in read),
            gpu=min(CONFIGURATION.execution.gpus, 1),
        params:
            models=json.dumps(extractions),
            settings=SPACE_SETTINGS,
            seed=CONFIGURATION.seed,
        shell:
            "{PYTHON:q} {input.code[0]:q} --models {params.models:q} --words {input.words}"
            " --settings {params.settings:q} --seed {params.seed} --gpus {resources.gpu}"
            " > {log} 2>&1"

    if compared:

        rule:
            name:
                rule_name("compare_spaces", language)
            input:
                words=f"{RESULTS}/words/{language}.nc",
                states=[
                    f"{RESULTS}/states/{training}.nc"
                    for training in dict.fromkeys(
                        name for pair in compared for name in (pair.first, pair.second)
                    )
                ],
                code=uses("compare_spaces"),
            output:
                [f"{RESULTS}/comparisons/{pair.name}.nc" for pair in compared],
            log:
                f"{RESULTS}/logs/compare_spaces/{language}.log",
            conda:
                "../../envs/training.yaml"
            resources:
                runtime=SPACE_MINUTES,
                mem_mb=2000,
            params:
                pairs=[
                    f"--pair {RESULTS}/states/{pair.first}.nc {RESULTS}/states/{pair.second}.nc"
                    f" {layers_compared(pair)}"
                    f" {RESULTS}/comparisons/{pair.name}.nc"
                    for pair in compared
                ],
                settings=SPACE_SETTINGS,
                seed=CONFIGURATION.seed,
            shell:
                "{PYTHON:q} {input.code[0]:q} --words {input.words} {params.pairs}"
                " --settings {params.settings:q} --seed {params.seed} > {log} 2>&1"


rule describe_space:
    input:
        words=words_of,
        states=f"{RESULTS}/states/{{model}}.nc",
        code=uses("describe_space"),
    output:
        f"{RESULTS}/spaces/{{model}}.nc",
    log:
        f"{RESULTS}/logs/describe_space/{{model}}.log",
    conda:
        "../../envs/training.yaml"
    resources:
        runtime=SPACE_MINUTES,
        mem_mb=2000,
    params:
        extent=json.dumps(SPACES.measures.model_dump()),
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --states {input.states} --words {input.words}"
        " --extent {params.extent:q} --seed {params.seed} --output {output} > {log} 2>&1"


rule compare_snapshots:
    input:
        words=words_of,
        checkpoint=f"{RESULTS}/models/{{model}}/checkpoint.pt",
        snapshots=lambda wildcards: [
            f"{RESULTS}/models/{wildcards.model}/snapshots/{update}.pt"
            for update in CONFIGURATION.snapshots_of(model_of(wildcards))
        ],
        cube=f"{RESULTS}/cubes/{{model}}.nc",
        vocabulary=lambda wildcards: vocabulary_of(model_of(wildcards)),
        code=uses("compare_snapshots"),
    output:
        f"{RESULTS}/over_training/{{model}}.nc",
    log:
        f"{RESULTS}/logs/compare_snapshots/{{model}}.log",
    conda:
        "../../envs/training.yaml"
    threads: CONFIGURATION.execution.threads
    resources:
        **GPU_MODEL,
        runtime=SPACE_MINUTES,
        mem_mb=lambda wildcards: model_memory(cost_of(wildcards)),
        gpu=min(CONFIGURATION.execution.gpus, 1),
    params:
        name=lambda wildcards: model_of(wildcards).tokens,
        tokens=lambda wildcards: f"{RESULTS}/tokens/{model_of(wildcards).tokens}",
        settings=SPACE_SETTINGS,
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --checkpoint {input.checkpoint}"
        " --snapshots {input.snapshots} --cube {input.cube} --tokens {params.tokens}"
        " --vocabulary {input.vocabulary} --name {params.name} --words {input.words}"
        " --settings {params.settings:q} --seed {params.seed} --gpus {resources.gpu}"
        " --output {output} > {log} 2>&1"


CLAIM_RECORDS["representations"] = f"{RESULTS}/claims/representations.json"


rule judge_spaces:
    input:
        spaces=[f"{RESULTS}/spaces/{training}.nc" for training in SPACE_MODELS],
        hidden=[f"{RESULTS}/hidden_words/{training}.nc" for training in SPACE_MODELS],
        comparisons=[f"{RESULTS}/comparisons/{pair.name}.nc" for pair in SPACE_PAIRS],
        snapshots=[f"{RESULTS}/over_training/{training}.nc" for training in SPACE_MAIN],
        qualities=RUN_FILES.of_models(
            "quality.json", [model.name for model in described_models(CONFIGURATION)]
        ),
        code=uses("judge_spaces"),
    output:
        expand(f"{RESULTS}/claims/representations.{{kind}}", kind=("json", "csv")),
    log:
        f"{RESULTS}/logs/judge_spaces.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    params:
        results=RESULTS,
        models=json.dumps(
            {
                model.name: RUN_FILES.trainings([model.name])
                for model in described_models(CONFIGURATION)
            }
        ),
        pairs=json.dumps([list(pair) for pair in SPACE_PAIRS]),
        repeats=SPACES.measures.repeats,
        stem=f"{RESULTS}/claims/representations",
    shell:
        "{PYTHON:q} {input.code[0]:q} --results {params.results} --models {params.models:q}"
        " --pairs {params.pairs:q} --qualities {input.qualities} --repeats {params.repeats}"
        " --output-stem {params.stem} > {log} 2>&1"
