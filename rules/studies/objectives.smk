"""Claims about objective and architecture. -> objectives/"""

OBJECTIVE_CLAIMS = f"{RESULTS}/objectives/claims"
CLAIM_RECORDS["objectives"] = f"{OBJECTIVE_CLAIMS}.json"


rule judge_objectives:
    input:
        summaries=RUN_FILES.summaries(MODELS),
        qualities=RUN_FILES.of_models("quality.json", MODELS),
        code=uses("judge_claims", "studies/objectives/claims.py"),
    output:
        expand(f"{OBJECTIVE_CLAIMS}.{{kind}}", kind=("json", "csv", "md")),
    log:
        f"{RESULTS}/logs/judge_objectives.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1500,
    params:
        stem=OBJECTIVE_CLAIMS,
        main=RUN_FILES.main_models(),
        seed=CONFIGURATION.seed,
        draws=CONFIGURATION.claims.resamplings,
    shell:
        "{PYTHON:q} {input.code[0]:q} --study objectives --formats json csv md --claims-alone"
        " --summaries {input.summaries} --qualities {input.qualities}"
        " --main {params.main} --seed {params.seed} --draws {params.draws}"
        " --output-stem {params.stem} > {log} 2>&1"
