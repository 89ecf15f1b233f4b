"""What the trained models are worth. -> models/<model>/quality.json"""


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
            MODELS[wildcards.model].tokens, token_splits(MODELS[wildcards.model].tokens)
        ),
        vocabulary=lambda wildcards: (
            f"{RESULTS}/tokens/{MODELS[wildcards.model].tokens}/sentencepiece.model"
        ),
        references=lambda wildcards: [
            reference(MODELS[wildcards.model], split)
            for split in test_splits(MODELS[wildcards.model])
            if MODELS[wildcards.model].objective == "mt"
        ],
    output:
        f"{RESULTS}/models/{{model}}/quality.json",
    log:
        f"{RESULTS}/logs/evaluate_model/{{model}}.log",
    threads: CONFIGURATION.resources.training_threads
    resources:
        mem_mb=CONFIGURATION.resources.training_memory,
        gpu=CONFIGURATION.resources.training_gpus,
    params:
        tokens=lambda wildcards: f"{RESULTS}/tokens/{MODELS[wildcards.model].tokens}",
        losses=lambda wildcards: [
            split for split in splits_of(MODELS[wildcards.model].corpus) if split != "train"
        ],
        translate=lambda wildcards: [
            f"--translate {split} {reference(MODELS[wildcards.model], split)}"
            for split in test_splits(MODELS[wildcards.model])
            if MODELS[wildcards.model].objective == "mt"
        ],
        settings=json.dumps(CONFIGURATION.evaluation.model_dump()),
    shell:
        "{PYTHON} {SCRIPTS}/evaluate_model.py --model {wildcards.model}"
        " --checkpoint {input.checkpoint} --tokens {params.tokens}"
        " --vocabulary {input.vocabulary} --losses {params.losses} {params.translate}"
        " --settings {params.settings:q} --output {output} > {log} 2>&1"
