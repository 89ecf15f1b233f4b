"""Training with LCA recording. -> models/ and cubes/

During training, checkpoints and the parts of the cube are stored in models/<model>/state. This
folder is not a declared output, so Snakemake does not delete it, and a stopped training resumes
from it.
"""

from losschange import RECORDING_VERSION

# These settings are not parameters of the rule, so that changing them repeats no finished training.
EXECUTION = json.dumps(CONFIGURATION.execution.model_dump())


def kept_updates(training):
    """Updates of a training whose weights, and whose whole states, are kept."""
    model = REPLICATES[training][0]
    return {
        "updates": CONFIGURATION.snapshots_of(model),
        "resume_points": CONFIGURATION.resume_points_of(model),
    }


def kept_files(training):
    """Snapshots and resume points of a training."""
    kept = kept_updates(training)
    folder = f"{RESULTS}/models/{training}"
    return [f"{folder}/snapshots/{update}.pt" for update in kept["updates"]] + [
        f"{folder}/resume_points/{update}.pt" for update in kept["resume_points"]
    ]


def files_of_variant(training):
    """Further files that the training of a variant reads, by name."""
    variant = CONFIGURATION.variants().get(REPLICATES[training][0].name)
    return variant.files_of(training) if variant else {}


# One rule per training, because the names of its snapshots depend on its number of updates.
for training, (trained, seed_of_training) in REPLICATES.items():

    rule:
        name:
            rule_name("train_model", training)
        input:
            token_files(
                trained.tokens,
                ["train", "valid"] + CONFIGURATION.recording_of(trained).other_splits(),
            ),
            list(files_of_variant(training).values()),
            # Its content is stored in the cube. `ancient`: a newer file repeats no training.
            provenance=ancient(f"{RESULTS}/corpora/{trained.corpus}/provenance.json"),
        output:
            kept_files(training),
            cube=f"{RESULTS}/cubes/{training}.nc",
            checkpoint=f"{RESULTS}/models/{training}/checkpoint.pt",
            history=f"{RESULTS}/models/{training}/training.csv",
            settings=f"{RESULTS}/models/{training}/settings.json",
        log:
            f"{RESULTS}/logs/train_model/{training}.log",
        priority: FIRST_STUDY if trained.name in FIRST_MODELS else 0
        retries: TRAINING_RETRIES
        conda:
            "../envs/training.yaml"
        threads: CONFIGURATION.execution.threads * CONFIGURATION.execution.processes
        resources:
            **GPU_MODEL,
            runtime=training_minutes(COSTS[trained.name]),
            mem_mb=model_memory(COSTS[trained.name]),
            gpu=CONFIGURATION.execution.gpus,
        params:
            training=json.dumps(CONFIGURATION.training_of(trained).model_dump()),
            tokens=f"{RESULTS}/tokens/{trained.tokens}",
            state=f"{RESULTS}/models/{training}/state",
            model=trained.name,
            seed=seed_of_training,
            recording=json.dumps(CONFIGURATION.recording_of(trained).settings()),
            kept=json.dumps(
                {**kept_updates(training), "precision": CONFIGURATION.snapshots.precision}
            ),
            files=json.dumps(files_of_variant(training)),
            version=RECORDING_VERSION,
        shell:
            # exec, so that the queue's signals reach the training and the job waits until it saved.
            "exec {PYTHON:q} {SCRIPTS:q}/train_model.py --model {params.model}"
            " --training {params.training:q} --execution {EXECUTION:q}"
            " --recording {params.recording:q} --kept {params.kept:q}"
            " --files {params.files:q}"
            " --tokens {params.tokens} --provenance {input.provenance} --seed {params.seed}"
            " --gpus {resources.gpu} --state {params.state} --cube {output.cube}"
            " --checkpoint {output.checkpoint} --history {output.history}"
            " --settings {output.settings} > {log} 2>&1"


rule cubes:
    input:
        expand(f"{RESULTS}/cubes/{{model}}.nc", model=REPLICATES),
