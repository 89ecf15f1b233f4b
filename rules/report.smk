"""One page with everything, readable offline. -> report/"""

CAPTION_FOLDER = Path(os.path.relpath(Path(workflow.basedir) / "captions"))
CAPTIONS = ["workflow"] + [f"figure{n}" for n in FIGURE_NUMBERS] + [f"table{n}" for n in (1, 2, 3)]


rule write_configuration:
    output:
        f"{RESULTS}/report/configuration.json",
    log:
        f"{RESULTS}/logs/write_configuration.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        configuration=json.dumps(CONFIGURATION.model_dump()),
    shell:
        "printf '%s\\n' {params.configuration:q} > {output} 2> {log}"


rule make_report:
    input:
        configuration=rules.write_configuration.output,
        figures=rules.figures.input,
        tables=rules.tables.input,
        claims=f"{CLAIMS}/claims.json",
        qualities=expand(f"{RESULTS}/models/{{model}}/quality.json", model=MODELS),
        settings=expand(f"{RESULTS}/models/{{model}}/settings.json", model=MODELS),
        histories=expand(f"{RESULTS}/models/{{model}}/training.csv", model=MODELS),
        counts=rules.corpora.input,
        records=expand(f"{RESULTS}/corpora/archives/{{archive}}.json", archive=ARCHIVES),
        provenance=expand(f"{RESULTS}/corpora/{{corpus}}/provenance.json", corpus=CORPORA),
        tokens=expand(f"{RESULTS}/tokens/{{tokens}}/tokens.json", tokens=TOKENS),
        summaries=summaries_of(MODELS),
        captions=[f"{CAPTION_FOLDER}/{name}.rst" for name in CAPTIONS],
        code=uses(
            "make_report",
            "report/report.html.j2",
            "report/report.css",
            *CLAIM_TEMPLATES,
        ),
    output:
        report(
            f"{RESULTS}/report/report.html",
            caption="../captions/workflow.rst",
            category="Report",
        ),
    log:
        f"{RESULTS}/logs/make_report.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        figures=FIGURES,
        tables=TABLES,
        captions=CAPTION_FOLDER,
    shell:
        "{PYTHON} {input.code[0]} --configuration {input.configuration}"
        " --figures-folder {params.figures} --tables-folder {params.tables}"
        " --qualities {input.qualities} --settings {input.settings} --counts {input.counts}"
        " --source-records {input.records} --provenance {input.provenance} --tokens {input.tokens}"
        " --claims {input.claims} --histories {input.histories} --summaries {input.summaries}"
        " --captions {params.captions} --output {output} > {log} 2>&1"


rule report:
    input:
        f"{RESULTS}/report/report.html",
