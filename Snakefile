"""The whole paper: parallel text -> vocabularies -> trainings -> cubes -> figures and tables."""

from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/corpora.smk"
include: "rules/tokens.smk"
include: "rules/models.smk"
include: "rules/evaluation.smk"
include: "rules/summaries.smk"
include: "rules/studies.smk"
include: "rules/report.smk"
include: "rules/cost.smk"


report: "captions/workflow.rst"


rule all:
    default_target: True
    input:
        rules.cubes.input,
        rules.figures.input,
        rules.tables.input,
        rules.claims.input,
        rules.report.input,
