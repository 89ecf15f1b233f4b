"""The estimated cost of a run: a table on the screen and in logs/."""


# Without output files, so the table is printed at every call.
rule cost:
    log:
        f"{RESULTS}/logs/cost.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        configuration=json.dumps(CONFIGURATION.model_dump(exclude_unset=True)),
        limit=f"--time-limit {TIME_LIMIT}" if TIME_LIMIT else "",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/estimate_cost.py --configuration {params.configuration:q}"
        " {params.limit} | tee {log}"
