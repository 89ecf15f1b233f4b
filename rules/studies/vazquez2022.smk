"""Judge every claim of the paper: a number, an interval and a verdict. -> claims/"""

from studies.vazquez2022.study import of_paper

CLAIMS = f"{RESULTS}/claims"
PAPER_MODELS = of_paper(RUN_FILES, MODELS)
CLAIM_NUMBERS = range(1, 33)
CLAIM_RECORDS["vazquez2022"] = f"{CLAIMS}/claims.json"
CLAIM_TEMPLATES = ("report/claims/matrix.html.j2", "report/claims/claims.css")


rule judge_claims:
    input:
        summaries=RUN_FILES.summaries(PAPER_MODELS),
        # In the same order as the summaries. If a model did not learn with one seed, its trainings
        # with other seeds still count.
        qualities=RUN_FILES.of_models("quality.json", PAPER_MODELS),
        code=uses(
            "judge_claims",
            "report/claims/claims.html.j2",
            "report/report.css",
            *CLAIM_TEMPLATES,
        ),
    output:
        report(
            f"{CLAIMS}/claims.html",
            caption="../../captions/claims.rst",
            category="Claims",
        ),
        expand(f"{CLAIMS}/claims.{{kind}}", kind=("json", "csv", "md")),
    log:
        f"{RESULTS}/logs/judge_claims.log",
    priority: FIRST_STUDY
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1500,
    params:
        stem=f"{CLAIMS}/claims",
        main=of_paper(RUN_FILES, RUN_FILES.main_models()),
        seed=CONFIGURATION.seed,
        draws=CONFIGURATION.claims.resamplings,
    shell:
        "{PYTHON:q} {input.code[0]:q} --summaries {input.summaries} --qualities {input.qualities}"
        " --main {params.main} --seed {params.seed} --draws {params.draws}"
        " --output-stem {params.stem} > {log} 2>&1"


rule describe_claims:
    input:
        claims=f"{CLAIMS}/claims.json",
        code=uses(
            "describe_claims",
            "report/claims/claim.html.j2",
            "report/report.css",
        ),
    output:
        expand(f"{CLAIMS}/claim{{number}}.html", number=CLAIM_NUMBERS),
    log:
        f"{RESULTS}/logs/describe_claims.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    params:
        folder=CLAIMS,
    shell:
        "{PYTHON:q} {input.code[0]:q} --claims {input.claims} --output-folder {params.folder}"
        " > {log} 2>&1"


for number in CLAIM_NUMBERS:

    rule:
        name:
            f"claim{number}"
        input:
            f"{CLAIMS}/claim{number}.html",


CLAIM_FILES += [*rules.judge_claims.output, *rules.describe_claims.output]
