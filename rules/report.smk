"""The report: one page with all results, readable offline. -> report/"""

CAPTION_FOLDER = Path(os.path.relpath(Path(workflow.basedir) / "captions"))
# The models shown by every figure: those whose files are its inputs. The file of a comparison is
# named after two models, joined by "+".
SHOWN = {
    figure.number: list(
        dict.fromkeys(
            REPLICATES[name][0].name
            for paths in figure.inputs(RUN_FILES).values()
            for path in paths
            for name in Path(path).stem.split("+")
            if name in REPLICATES
        )
    )
    for study in STUDIES
    for figure in study.figures
}
# Texts and templates of the page, including those of studies.
REPORT_TEXTS = [CAPTION_FOLDER / "workflow.rst"]
for folder in (SCRIPTS / "report", *(SCRIPTS / "studies" / study.name for study in STUDIES)):
    REPORT_TEXTS += sorted([*folder.rglob("*.j2"), *folder.rglob("*.css"), *folder.rglob("*.rst")])
STUDY_CODE = [
    str(path.relative_to(SCRIPTS))
    for study in STUDIES
    for path in sorted((SCRIPTS / "studies" / study.name).glob("*.py"))
]


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
        claims=list(CLAIM_RECORDS.values()),
        qualities=RUN_FILES.of_models("quality.json", MODELS),
        settings=expand(f"{RESULTS}/models/{{model}}/settings.json", model=MODELS),
        histories=expand(f"{RESULTS}/models/{{model}}/training.csv", model=MODELS),
        counts=rules.corpora.input,
        records=expand(f"{RESULTS}/corpora/archives/{{archive}}.json", archive=ARCHIVES),
        provenance=expand(f"{RESULTS}/corpora/{{corpus}}/provenance.json", corpus=CORPORA),
        tokens=expand(f"{RESULTS}/tokens/{{tokens}}/tokens.json", tokens=TOKENS),
        summaries=RUN_FILES.summaries(MODELS),
        texts=REPORT_TEXTS,
        code=uses("make_report", *STUDY_CODE),
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
        studies=[study.name for study in STUDIES],
        claims=json.dumps(CLAIM_RECORDS),
        shown=json.dumps(SHOWN),
    shell:
        "{PYTHON:q} {input.code[0]:q} --configuration {input.configuration}"
        " --figures-folder {params.figures} --tables-folder {params.tables}"
        " --qualities {input.qualities} --settings {input.settings} --counts {input.counts}"
        " --source-records {input.records} --provenance {input.provenance} --tokens {input.tokens}"
        " --studies {params.studies} --claims {params.claims:q} --shown {params.shown:q}"
        " --histories {input.histories} --summaries {input.summaries}"
        " --captions {params.captions:q} --output {output} > {log} 2>&1"


rule report:
    input:
        f"{RESULTS}/report/report.html",
