"""Choose frozen cells, and compare the measured with the predicted costs. -> interventions/

The trainings with frozen cells are made by the rules in rules/models.smk;
scripts/studies/interventions/variants.py lists them.
"""

from studies.interventions.variants import children

INTERVENTIONS = f"{RESULTS}/interventions"
CLAIM_RECORDS["interventions"] = f"{INTERVENTIONS}/claims.json"
# By parent and child: the intervention, and the number of updates before it.
CHILDREN = {}
for parent, child, intervention, start in children(CONFIGURATION):
    CHILDREN.setdefault(parent, {})[child] = (intervention, start)
# Every training of a parent: the model, the seed, and the suffix of the training's name.
FAMILIES = {
    training: (model, seed, training.removeprefix(model.name))
    for training, (model, seed) in REPLICATES.items()
    if model.name in CHILDREN
}


def frozen_file(training, child):
    """The file with the cells that freeze in a child of a training."""
    model, _, suffix = FAMILIES[training]
    return f"{INTERVENTIONS}/{model.name}.{child}{suffix}.json"


def checkpoints_of_children(training):
    """The checkpoint of every child of a training, by the child's name."""
    model, _, suffix = FAMILIES[training]
    return {
        child: f"{RESULTS}/models/{model.name}.{child}{suffix}/checkpoint.pt"
        for child in CHILDREN[model.name]
    }


for training, (parent, seed_of_training, _) in FAMILIES.items():

    rule:
        name:
            rule_name("choose_frozen_cells", training)
        input:
            # The code is not an input: an edit must not retrain the children.
            cube=f"{RESULTS}/cubes/{training}.nc",
        output:
            [frozen_file(training, child) for child in CHILDREN[parent.name]],
        log:
            f"{RESULTS}/logs/choose_frozen_cells/{training}.log",
        localrule: True
        conda:
            "../../envs/figures.yaml"
        params:
            interventions=json.dumps(
                {
                    frozen_file(training, child): {
                        "from_update": start,
                        "intervention": intervention.model_dump(exclude_unset=True),
                    }
                    for child, (intervention, start) in CHILDREN[parent.name].items()
                }
            ),
            seed=CONFIGURATION.seed,
        shell:
            "{PYTHON:q} {SCRIPTS:q}/choose_frozen_cells.py --cube {input.cube}"
            " --interventions {params.interventions:q} --seed {params.seed} > {log} 2>&1"

    rule:
        name:
            rule_name("measure_interventions", training)
        input:
            token_files(parent.tokens, ["train", "valid"]),
            checkpoints_of_children(training).values(),
            checkpoint=f"{RESULTS}/models/{training}/checkpoint.pt",
            initial=f"{RESULTS}/models/{training}/snapshots/0.pt",
            code=uses("measure_interventions", "training/probe_losses.py"),
        output:
            f"{INTERVENTIONS}/{training}.losses.json",
        log:
            f"{RESULTS}/logs/measure_interventions/{training}.log",
        conda:
            "../../envs/training.yaml"
        threads: CONFIGURATION.execution.threads
        resources:
            **GPU_MODEL,
            runtime=evaluation_minutes(CONFIGURATION, parent),
            mem_mb=model_memory(COSTS[parent.name]),
            gpu=min(CONFIGURATION.execution.gpus, 1),
        params:
            children=json.dumps(checkpoints_of_children(training)),
            tokens=f"{RESULTS}/tokens/{parent.tokens}",
            seed=seed_of_training,
            probe_tokens=CONFIGURATION.recording_of(parent).probe_tokens,
            max_tokens=CONFIGURATION.training_of(parent).max_tokens,
        shell:
            "{PYTHON:q} {input.code[0]:q} --checkpoint {input.checkpoint}"
            " --initial {input.initial} --children {params.children:q} --tokens {params.tokens}"
            " --seed {params.seed} --probe-tokens {params.probe_tokens}"
            " --max-tokens {params.max_tokens} --output {output} > {log} 2>&1"


rule judge_interventions:
    input:
        [f"{RESULTS}/cubes/{training}.nc" for training in FAMILIES],
        [f"{INTERVENTIONS}/{training}.losses.json" for training in FAMILIES],
        [frozen_file(t, child) for t, (m, _, _) in FAMILIES.items() for child in CHILDREN[m.name]],
        code=uses("judge_interventions"),
    output:
        CLAIM_RECORDS["interventions"],
    log:
        f"{RESULTS}/logs/judge_interventions.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1500,
    params:
        families=json.dumps(
            [
                {
                    "model": model.name,
                    "training": training,
                    "cube": f"{RESULTS}/cubes/{training}.nc",
                    "losses": f"{INTERVENTIONS}/{training}.losses.json",
                    "children": {
                        child: {
                            "kind": intervention.rule or "listed",
                            "estimator": intervention.estimator,
                            "frozen": frozen_file(training, child),
                        }
                        for child, (intervention, _) in CHILDREN[model.name].items()
                    },
                }
                for training, (model, _, _) in FAMILIES.items()
            ]
        ),
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --families {params.families:q} --seed {params.seed}"
        " --output {output} > {log} 2>&1"


rule interventions:
    input:
        CLAIM_RECORDS["interventions"],
