"""The claims of Zhu et al. 2020, and a target for all results of the study. -> zhu2020/"""

from running.models import parse_model
from studies.zhu2020.relative_cost import relative_costs
from studies.zhu2020.models import shown_models

ZHU = f"{RESULTS}/zhu2020"
ZHU_MODELS = shown_models(RUN_FILES)

# Without a translation model there is nothing to judge.
if ZHU_MODELS:
    CLAIM_RECORDS["zhu2020"] = f"{ZHU}/claims.json"


rule judge_zhu2020:
    input:
        summaries=RUN_FILES.summaries(ZHU_MODELS),
        qualities=RUN_FILES.of_models("quality.json", ZHU_MODELS),
        code=uses("judge_zhu2020"),
    output:
        expand(f"{ZHU}/claims.{{kind}}", kind=("json", "csv", "md")),
    log:
        f"{RESULTS}/logs/judge_zhu2020.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1500,
    params:
        stem=f"{ZHU}/claims",
        judged=ZHU_MODELS[:1],
        seed=CONFIGURATION.seed,
        draws=CONFIGURATION.claims.resamplings,
        costs=json.dumps(
            {name: relative_costs(CONFIGURATION, parse_model(name)) for name in ZHU_MODELS[:1]}
        ),
    shell:
        "{PYTHON:q} {input.code[0]:q} --summaries {input.summaries} --qualities {input.qualities}"
        " --judged {params.judged} --seed {params.seed} --draws {params.draws}"
        " --costs {params.costs:q} --output-stem {params.stem} > {log} 2>&1"


rule zhu2020:
    input:
        expand(f"{FIGURES}/figureZ{{number}}.{{kind}}", number=range(1, 6), kind=FIGURE_FORMATS),
        rules.judge_zhu2020.output if ZHU_MODELS else [],
        f"{RESULTS}/report/report.html",
