"""Training with LCA recording. -> models/ and cubes/

Checkpoints and the growing cube live in models/<model>/state, which is no declared output: a
stopped training goes on from there.
"""

from losschange import RECORDING_VERSION

# No parameter of the rule: a finished training is not made again because it would run otherwise.
EXECUTION = json.dumps(CONFIGURATION.execution.model_dump())


rule train_model:
    input:
        lambda wildcards: token_files(model_of(wildcards).tokens, ["train", "valid"]),
        # Said in the cube, but no reason to train again.
        provenance=ancient(
            lambda wildcards: f"{RESULTS}/corpora/{model_of(wildcards).corpus}/provenance.json"
        ),
    output:
        cube=f"{RESULTS}/cubes/{{model}}.nc",
        checkpoint=f"{RESULTS}/models/{{model}}/checkpoint.pt",
        history=f"{RESULTS}/models/{{model}}/training.csv",
        settings=f"{RESULTS}/models/{{model}}/settings.json",
    log:
        f"{RESULTS}/logs/train_model/{{model}}.log",
    retries: TRAINING_RETRIES
    conda:
        "../envs/training.yaml"
    threads: CONFIGURATION.execution.threads * CONFIGURATION.execution.processes
    resources:
        **GPU_MODEL,
        runtime=training_minutes,
        mem_mb=memory_of,
        gpu=CONFIGURATION.execution.gpus,
    params:
        training=lambda wildcards: json.dumps(
            CONFIGURATION.training_of(model_of(wildcards)).model_dump()
        ),
        tokens=lambda wildcards: f"{RESULTS}/tokens/{model_of(wildcards).tokens}",
        state=lambda wildcards: f"{RESULTS}/models/{wildcards.model}/state",
        model=lambda wildcards: model_of(wildcards).name,
        seed=lambda wildcards: REPLICATES[wildcards.model][1],
        recording=json.dumps(CONFIGURATION.recording.model_dump()),
        version=RECORDING_VERSION,
    shell:
        # exec: a signal of the queue reaches the training, and nothing ends before it has saved.
        "exec {PYTHON} {SCRIPTS}/train_model.py --model {params.model}"
        " --training {params.training:q} --execution {EXECUTION:q}"
        " --recording {params.recording:q}"
        " --tokens {params.tokens} --provenance {input.provenance} --seed {params.seed}"
        " --gpus {resources.gpu}"
        " --state {params.state} --cube {output.cube}"
        " --checkpoint {output.checkpoint} --history {output.history}"
        " --settings {output.settings} > {log} 2>&1"


rule cubes:
    input:
        expand(f"{RESULTS}/cubes/{{model}}.nc", model=REPLICATES),
