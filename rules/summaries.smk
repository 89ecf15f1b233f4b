"""Summaries of the cubes for figures, tables and the report. -> summaries/"""


rule summarise_cube:
    input:
        cube=f"{RESULTS}/cubes/{{model}}.nc",
        code=uses("summarise_cube"),
    output:
        f"{RESULTS}/summaries/{{model}}.nc",
    log:
        f"{RESULTS}/logs/summarise_cube/{{model}}.log",
    priority: FIRST_STUDY
    localrule: True
    conda:
        "../envs/figures.yaml"
    resources:
        runtime=lambda wildcards: cost_of(wildcards).summary_minutes,
        mem_mb=1000,
    shell:
        "{PYTHON:q} {input.code[0]:q} --cube {input.cube} --output {output} > {log} 2>&1"
