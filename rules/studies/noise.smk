"""Loss change, curvature and noise of every training of the study. -> noise/"""

NOISE = f"{RESULTS}/noise"


rule measure_noise:
    input:
        cube=f"{RESULTS}/cubes/{{model}}.nc",
        settings=f"{RESULTS}/models/{{model}}/settings.json",
        code=uses("measure_noise"),
    output:
        f"{NOISE}/{{model}}.nc",
    log:
        f"{RESULTS}/logs/measure_noise/{{model}}.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        runtime=lambda wildcards: cost_of(wildcards).summary_minutes,
        mem_mb=2000,
    params:
        stride=CONFIGURATION.noise.stride,
        draws=CONFIGURATION.noise.draws,
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --cube {input.cube} --settings {input.settings}"
        " --stride {params.stride} --draws {params.draws} --seed {params.seed}"
        " --output {output} > {log} 2>&1"


rule judge_parts:
    input:
        summaries=RUN_FILES.summaries(RUN_FILES.stock_models()),
        qualities=RUN_FILES.of_models("quality.json", RUN_FILES.stock_models()),
        code=uses("judge_parts"),
    output:
        f"{NOISE}/paper_claims.json",
    log:
        f"{RESULTS}/logs/judge_parts.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1500,
    params:
        main=RUN_FILES.main_models(),
        seed=CONFIGURATION.seed,
    shell:
        "{PYTHON:q} {input.code[0]:q} --summaries {input.summaries} --qualities {input.qualities}"
        " --main {params.main} --seed {params.seed} --output {output} > {log} 2>&1"
