"""The whole paper: parallel text -> vocabularies -> trainings -> cubes -> figures and tables."""

from snakemake.utils import min_version

min_version("9.0")

# Snakemake does not give the shell commands of an imported module the variables of its rules.
if workflow.modifier.namespace is not None:
    raise WorkflowError(
        "This workflow cannot be imported as a module. Run it by itself, in a folder of its own: "
        "snakemake --snakefile PATH/TO/Snakefile --directory FOLDER. Its results can then be inputs "
        "of another workflow."
    )


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
include: "rules/explorer.smk"
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
        rules.explorer.input,
