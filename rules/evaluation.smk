"""Measure the quality of the trained models on every split. -> models/<model>/quality.json"""


def test_splits(model):
    """Splits that a translation model is tested on."""
    return [split for split in ("test", NEWS_TEST) if split in token_splits(model.tokens)]


def reference(model, split):
    """The text that translations of a split are compared with."""
    return f"{text_of(model.tokens, split)}.{model.target}"


rule evaluate_model:
    input:
        checkpoint=f"{RESULTS}/models/{{model}}/checkpoint.pt",
        tokens=lambda wildcards: token_files(
            model_of(wildcards).tokens, token_splits(model_of(wildcards).tokens)
        ),
        vocabulary=lambda wildcards: (
            f"{RESULTS}/tokens/{model_of(wildcards).tokens}/sentencepiece.model"
        ),
        references=lambda wildcards: [
            reference(model_of(wildcards), split)
            for split in test_splits(model_of(wildcards))
            if model_of(wildcards).translates
        ],
    output:
        f"{RESULTS}/models/{{model}}/quality.json",
    log:
        f"{RESULTS}/logs/evaluate_model/{{model}}.log",
    priority: FIRST_STUDY
    conda:
        "../envs/training.yaml"
    threads: CONFIGURATION.execution.threads
    resources:
        **GPU_MODEL,
        runtime=lambda wildcards: evaluation_minutes(CONFIGURATION, model_of(wildcards)),
        mem_mb=lambda wildcards: model_memory(cost_of(wildcards)),
        gpu=min(CONFIGURATION.execution.gpus, 1),
    params:
        model=lambda wildcards: model_of(wildcards).name,
        tokens=lambda wildcards: f"{RESULTS}/tokens/{model_of(wildcards).tokens}",
        losses=lambda wildcards: [
            split
            for split in token_splits(model_of(wildcards).tokens)
            if split not in ("train", NEWS_TEST)
        ],
        translate=lambda wildcards: [
            f"--translate {split} {reference(model_of(wildcards), split)}"
            for split in test_splits(model_of(wildcards))
            if model_of(wildcards).translates
        ],
        settings=json.dumps(CONFIGURATION.evaluation.model_dump()),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/evaluate_model.py --model {params.model}"
        " --checkpoint {input.checkpoint} --tokens {params.tokens}"
        " --vocabulary {input.vocabulary} --losses {params.losses} {params.translate}"
        " --settings {params.settings:q} --gpus {resources.gpu} --output {output} > {log} 2>&1"
