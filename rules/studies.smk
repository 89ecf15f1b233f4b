"""Figures and tables of the studies. -> figures/ and tables/

scripts/studies/<study>/study.py lists them with their inputs;
scripts/studies/<study>/figures/figure<number>.py draws one.
"""

FIGURES = f"{RESULTS}/figures"
TABLES = f"{RESULTS}/tables"
FIGURE_FORMATS = ("pdf", "png", "svg")
TABLE_FORMATS = ("csv", "md", "tex")


MAKING = {"figure": "plot", "table": "make"}  # verbs in names of rules: plot_figure3, make_table1
# Targets with an estimator's name: figure3.simpson.pdf beside figure3.pdf.
ANY_ESTIMATOR = ".{estimator}"


def illustration_files(study, kind, number, stem, formats):
    """The files of a figure or table, each shown in Snakemake's own report."""
    files = []
    for ending in formats:
        shown = report(
            f"{stem}.{ending}",
            caption=f"../scripts/studies/{study.name}/captions/{kind}{number}.rst",
            category=f"{kind.title()}s",
            subcategory=study.title,
            labels={kind: number, "format": ending},
        )
        files.append(shown)
    return files


def illustration_options(illustration, wildcards):
    """The options that a figure or table needs in addition to its inputs, as JSON."""
    options = dict(illustration.options(RUN_FILES))
    if illustration.by_estimator:
        shown = wildcards.get("estimator", CONFIGURATION.figures.estimator)
        recorded = CONFIGURATION.recording.strides
        if shown not in recorded:
            raise WorkflowError(
                f"The estimator {shown} is not recorded by this run; recorded: {', '.join(recorded)}"
            )
        options["estimator"] = shown
    return json.dumps(options)


for study in STUDIES:
    for kind, illustrations, folder, formats in (
        ("figure", study.figures, FIGURES, FIGURE_FORMATS),
        ("table", study.tables, TABLES, TABLE_FORMATS),
    ):
        for illustration in illustrations:
            name = f"{kind}{illustration.number}"
            for suffix in ("", ANY_ESTIMATOR) if illustration.by_estimator else ("",):

                rule:
                    name:
                        f"{MAKING[kind]}_{name}{'_by_estimator' if suffix else ''}"
                    input:
                        **illustration.inputs(RUN_FILES),
                        code=uses(f"make_{kind}", f"studies/{study.name}/{kind}s/{name}.py"),
                    output:
                        illustration_files(
                            study, kind, illustration.number, f"{folder}/{name}{suffix}", formats
                        ),
                    log:
                        f"{RESULTS}/logs/{MAKING[kind]}_{name}{suffix}.log",
                    priority: FIRST_STUDY if study.name == CONFIGURATION.studies[0] else 0
                    localrule: True
                    conda:
                        "../envs/figures.yaml"
                    params:
                        inputs=json.dumps(illustration.inputs(RUN_FILES)),
                        options=lambda wildcards, of=illustration: illustration_options(
                            of, wildcards
                        ),
                        stem=f"{folder}/{name}{suffix}",
                        study=study.name,
                        number=illustration.number,
                    shell:
                        "{PYTHON:q} {input.code[0]:q} --study {params.study}"
                        " --number {params.number} --inputs {params.inputs:q}"
                        " --options {params.options:q} --output-stem {params.stem} > {log} 2>&1"

            # The target of one figure or table: snakemake figure3
            rule:
                name:
                    name
                input:
                    [f"{folder}/{name}.{ending}" for ending in formats],


def illustrations_of(kind, folder, formats):
    """All figures or all tables, without those for a single estimator (ANY_ESTIMATOR)."""
    return [
        f"{folder}/{kind}{illustration.number}.{ending}"
        for study in STUDIES
        for illustration in getattr(study, f"{kind}s")
        for ending in formats
    ]


rule figures:
    input:
        illustrations_of("figure", FIGURES, FIGURE_FORMATS),


rule tables:
    input:
        illustrations_of("table", TABLES, TABLE_FORMATS),


# Records of claims by study, and files of the target `claims`; a study's rules add their own.
CLAIM_RECORDS = {}
CLAIM_FILES = []

# Rules of studies in addition to those for figures and tables.
for study in STUDIES:
    rules_of_study = Path(workflow.basedir) / "rules" / "studies" / f"{study.name}.smk"
    if rules_of_study.is_file():

        include: str(rules_of_study)


rule claims:
    input:
        CLAIM_FILES,
