"""Functions and importance of the heads of the main models, and pruning. -> heads/ and gates/"""

from types import SimpleNamespace

from studies.attention_heads.inputs import (
    arms,
    claims_file,
    gates_files,
    heads_files,
    positions,
    relations_file,
    scores_files,
)

HEADS = CONFIGURATION.attention_heads
HEADS_SETTINGS = json.dumps(HEADS.model_dump())
HEADS_TRAININGS = RUN_FILES.trainings(RUN_FILES.main_models())
HEADS_VARIANTS = RUN_FILES.trainings(RUN_FILES.variants("attention_heads"))
HEADS_POSITIONS = positions(CONFIGURATION) if HEADS_TRAININGS else 0
CLAIM_RECORDS["attention_heads"] = claims_file(RUN_FILES)


def sides_of(model):
    """Languages of the sides that have attention: source and target, or the only one."""
    return [model.source, model.target] if model.translates else [model.target]


def relation_files(wildcards):
    """CoNLL-U files of each side of a model, from the generator of its text or from treebanks."""
    model = model_of(wildcards)
    corpus = CORPORA[model.corpus]
    if CONFIGURATION.is_generated(model.corpus):
        ends = dict(zip(corpus.languages, ("first", "second")))
        return [
            [
                f"{RESULTS}/corpora/synthetic/{model.corpus}.{number}.{ends[language]}.conllu"
                for number in range(len(corpus.sources))
            ]
            for language in sides_of(model)
        ]
    found = CONFIGURATION.treebanks_of(model)
    return [
        [f"{RESULTS}/corpora/archives/{found[language].mirror_path()}"]
        for language in sides_of(model)[:1]
        if language in found
    ]


def side_texts(wildcards, split):
    """The text of a split on each side of a model."""
    model = model_of(wildcards)
    return [f"{RESULTS}/corpora/{model.corpus}/{split}.{name}" for name in sides_of(model)]


def valid_texts(wildcards):
    """The validation text of each side, if its syntax is known."""
    generated = CONFIGURATION.is_generated(model_of(wildcards).corpus)
    return side_texts(wildcards, "valid") if generated else []


def translated(wildcards):
    """The option for the text that a pruned model translates; empty for a language model."""
    model = model_of(wildcards)
    splits = test_splits(model) if model.translates else []
    return f"--translate {splits[0]} {reference(model, splits[0])}" if splits else ""


def head_inputs(wildcards):
    """Token ids and reference texts that a job on a trained model reads."""
    model = model_of(wildcards)
    splits = test_splits(model)[:1] if model.translates else []
    return [
        *token_files(model.tokens, ["train", "valid", *splits]),
        *(reference(model, split) for split in splits),
    ]


rule describe_heads:
    input:
        head_inputs,
        vocabulary=lambda wildcards: (
            f"{RESULTS}/tokens/{model_of(wildcards).tokens}/sentencepiece.model"
        ),
        checkpoint=f"{RESULTS}/models/{{model}}/checkpoint.pt",
        snapshots=lambda wildcards: [
            f"{RESULTS}/models/{wildcards.model}/snapshots/{update}.pt"
            for update in CONFIGURATION.snapshots_of(model_of(wildcards))
        ],
        training_text=lambda wildcards: side_texts(wildcards, "train"),
        valid_text=valid_texts,
        relations=lambda wildcards: sum(relation_files(wildcards), []),
    output:
        f"{RESULTS}/heads/{{model}}.nc",
    log:
        f"{RESULTS}/logs/describe_heads/{{model}}.log",
    conda:
        "../../envs/training.yaml"
    threads: CONFIGURATION.execution.threads
    resources:
        **GPU_MODEL,
        runtime=lambda wildcards: evaluation_minutes(CONFIGURATION, model_of(wildcards)),
        mem_mb=lambda wildcards: model_memory(cost_of(wildcards)),
        gpu=min(CONFIGURATION.execution.gpus, 1),
    params:
        tokens=lambda wildcards: f"{RESULTS}/tokens/{model_of(wildcards).tokens}",
        relations=lambda wildcards: json.dumps(relation_files(wildcards)),
        positions=HEADS_POSITIONS,
        settings=HEADS_SETTINGS,
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {SCRIPTS:q}/describe_heads.py --model {wildcards.model}"
        " --checkpoint {input.checkpoint} --snapshots {input.snapshots} --tokens {params.tokens}"
        " --vocabulary {input.vocabulary} --training-text {input.training_text}"
        " --valid-text {input.valid_text} --relations {params.relations:q}"
        " --settings {params.settings:q} --positions {params.positions} --seed {params.seed}"
        " --gpus {resources.gpu} --output {output} > {log} 2>&1"


SCORE = (
    "{PYTHON:q} {SCRIPTS:q}/prune_heads.py --model {params.model}"
    " --checkpoint {input.checkpoint} --tokens {params.tokens} --vocabulary {input.vocabulary}"
    " {params.translate} --language {params.language} --evaluation {params.evaluation:q}"
    " --settings {params.settings:q} --positions {params.positions} --seed {params.seed}"
    " --gpus {resources.gpu}"
)


def score_parameters(wildcards):
    """Parameters of SCORE that depend on the training."""
    model = model_of(wildcards)
    return {
        "tokens": f"{RESULTS}/tokens/{model.tokens}",
        "translate": translated(wildcards),
        "language": model.target,
    }


# One rule per training, because the names of the files depend on its types of attention. One job
# makes all prices, because loading fairseq takes seconds.
for training in HEADS_TRAININGS:
    one = SimpleNamespace(model=training)

    rule:
        name:
            rule_name("prune_heads", training)
        input:
            head_inputs(one),
            vocabulary=f"{RESULTS}/tokens/{model_of(one).tokens}/sentencepiece.model",
            checkpoint=f"{RESULTS}/models/{training}/checkpoint.pt",
            heads=f"{RESULTS}/heads/{training}.nc",
        output:
            [f"{RESULTS}/gates/{training}.{arm}.nc" for arm in arms(CONFIGURATION, model_of(one))],
            mask=f"{RESULTS}/gates/{training}.mask.json",
        log:
            f"{RESULTS}/logs/prune_heads/{training}.log",
        conda:
            "../../envs/training.yaml"
        threads: CONFIGURATION.execution.threads
        resources:
            **GPU_MODEL,
            runtime=12 * evaluation_minutes(CONFIGURATION, model_of(one)),
            mem_mb=model_memory(cost_of(one)),
            gpu=min(CONFIGURATION.execution.gpus, 1),
        params:
            **score_parameters(one),
            model=training,
            folder=f"{RESULTS}/gates",
            evaluation=json.dumps(CONFIGURATION.evaluation.model_dump()),
            settings=HEADS_SETTINGS,
            positions=HEADS_POSITIONS,
            seed=CONFIGURATION.seed,
        shell:
            SCORE + " --heads {input.heads} --output-folder {params.folder} --mask {output.mask}"
            " > {log} 2>&1"


for training in HEADS_VARIANTS:
    one = SimpleNamespace(model=training)

    rule:
        name:
            rule_name("score_from_scratch", training)
        input:
            head_inputs(one),
            vocabulary=f"{RESULTS}/tokens/{model_of(one).tokens}/sentencepiece.model",
            checkpoint=f"{RESULTS}/models/{training}/checkpoint.pt",
        output:
            f"{RESULTS}/heads/{training}.scores.nc",
        log:
            f"{RESULTS}/logs/score_from_scratch/{training}.log",
        conda:
            "../../envs/training.yaml"
        threads: CONFIGURATION.execution.threads
        resources:
            **GPU_MODEL,
            runtime=evaluation_minutes(CONFIGURATION, model_of(one)),
            mem_mb=model_memory(cost_of(one)),
            gpu=min(CONFIGURATION.execution.gpus, 1),
        params:
            **score_parameters(one),
            model=training,
            evaluation=json.dumps(CONFIGURATION.evaluation.model_dump()),
            settings=HEADS_SETTINGS,
            positions=HEADS_POSITIONS,
            seed=CONFIGURATION.seed,
        shell:
            SCORE + " --score-only {output} > {log} 2>&1"


rule relate_heads:
    input:
        heads=heads_files(RUN_FILES),
        gates=gates_files(RUN_FILES),
        cubes=expand(f"{RESULTS}/cubes/{{training}}.nc", training=HEADS_TRAININGS),
        code=uses("relate_heads"),
    output:
        relations_file(RUN_FILES),
    log:
        f"{RESULTS}/logs/relate_heads.log",
    conda:
        "../../envs/training.yaml"
    resources:
        mem_mb=2000,
    params:
        permutations=HEADS.permutations,
        estimator=CONFIGURATION.figures.estimator,
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --heads {input.heads} --gates {input.gates}"
        " --cubes {input.cubes} --estimator {params.estimator}"
        " --permutations {params.permutations} --seed {params.seed} --output {output}"
        " > {log} 2>&1"


rule judge_head_claims:
    input:
        heads=heads_files(RUN_FILES),
        gates=gates_files(RUN_FILES),
        scores=scores_files(RUN_FILES),
        qualities=RUN_FILES.of_models("quality.json", RUN_FILES.main_models()),
        code=uses("judge_head_claims"),
    output:
        expand(f"{RESULTS}/heads/claims.{{kind}}", kind=("json", "csv", "md")),
    log:
        f"{RESULTS}/logs/judge_head_claims.log",
    localrule: True
    conda:
        "../../envs/training.yaml"
    params:
        stem=f"{RESULTS}/heads/claims",
        main=RUN_FILES.main_models(),
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --heads {input.heads} --gates {input.gates}"
        " --scores {input.scores} --qualities {input.qualities} --main {params.main}"
        " --seed {params.seed} --output-stem {params.stem} > {log} 2>&1"


rule heads:
    input:
        rules.relate_heads.output,
        rules.judge_head_claims.output,
