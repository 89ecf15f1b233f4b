"""A web page that shows the LCA of chosen cells, updates and models. -> explorer/"""

EXPLORER = f"{RESULTS}/explorer"


rule explore_cube:
    input:
        cube=f"{RESULTS}/cubes/{{model}}.nc",
        code=uses("explore_cube"),
    output:
        f"{EXPLORER}/models/{{model}}.js",
    log:
        f"{RESULTS}/logs/explore_cube/{{model}}.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    resources:
        runtime=lambda wildcards: cost_of(wildcards).summary_minutes,
        mem_mb=1000,
    shell:
        "{PYTHON:q} {input.code[0]:q} --cube {input.cube} --output {output} > {log} 2>&1"


rule make_explorer:
    input:
        models=expand(f"{EXPLORER}/models/{{model}}.js", model=MODEL_TRAININGS),
        page=sorted(map(str, (SCRIPTS / "losschange/explorer/page").iterdir())),
        code=uses("make_explorer"),
    output:
        f"{EXPLORER}/index.html",
        f"{EXPLORER}/plotly.min.js",
    log:
        f"{RESULTS}/logs/make_explorer.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        models=MODEL_TRAININGS,
        title=f"Loss Change Allocation: {CONFIGURATION.run}",
        folder=EXPLORER,
    shell:
        "{PYTHON:q} {input.code[0]:q} --models {params.models} --title {params.title:q}"
        " --folder {params.folder} > {log} 2>&1"


rule explorer:
    input:
        rules.make_explorer.output,
