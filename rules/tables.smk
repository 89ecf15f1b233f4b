"""Tables of the paper beside this run. -> tables/"""

TABLES = f"{RESULTS}/tables"
TABLE_FORMATS = ("csv", "md", "tex")


def table_files(number):
    """The files of one table, each shown in Snakemake's own report."""
    files = []
    for kind in TABLE_FORMATS:
        shown = report(
            f"{TABLES}/table{number}.{kind}",
            caption=f"../captions/table{number}.rst",
            category="Tables",
            labels={"table": str(number), "format": kind},
        )
        files.append(shown)
    return files


rule make_table1:
    input:
        summaries=summaries_of(MAIN_MODELS),
        code=uses("make_table1"),
    output:
        table_files(1),
    log:
        f"{RESULTS}/logs/make_table1.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{TABLES}/table1",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule make_table2:
    input:
        settings=expand(f"{RESULTS}/models/{{model}}/settings.json", model=MODELS),
        code=uses("make_table2"),
    output:
        table_files(2),
    log:
        f"{RESULTS}/logs/make_table2.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{TABLES}/table2",
    shell:
        "{PYTHON} {input.code[0]} --settings {input.settings}"
        " --output-stem {params.stem} > {log} 2>&1"


rule make_table3:
    input:
        counts=rules.corpora.input,
        code=uses("make_table3"),
    output:
        table_files(3),
    log:
        f"{RESULTS}/logs/make_table3.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{TABLES}/table3",
    shell:
        "{PYTHON} {input.code[0]} --counts {input.counts}"
        " --output-stem {params.stem} > {log} 2>&1"


rule table1:
    input:
        rules.make_table1.output,


rule table2:
    input:
        rules.make_table2.output,


rule table3:
    input:
        rules.make_table3.output,


rule tables:
    input:
        [f"{TABLES}/table{number}.{kind}" for number in (1, 2, 3) for kind in TABLE_FORMATS],
