"""Figures of the paper, and C of conservation, E of estimators, D of distances, from summaries only. -> figures/"""

FIGURES = f"{RESULTS}/figures"
FIGURE_NUMBERS = ("C", 1, 2, 3, 4, 5, 6, "E", "D")
FORMATS = ("pdf", "png", "svg")
# Figures 5 and D compare the paper's models with each other.
STOCK_MODELS = [name for name, model in MODELS.items() if model.architecture == "stock"]
MAIN_MODELS = [name for name in CONFIGURATION.main_models.model_dump().values() if name in MODELS]


def summaries_of(names):
    """Summaries of models."""
    return [f"{RESULTS}/summaries/{name}.nc" for name in names]


def figure_files(number):
    """The files of one figure, each shown in Snakemake's own report."""
    files = []
    for kind in FORMATS:
        shown = report(
            f"{FIGURES}/figure{number}.{kind}",
            caption=f"../captions/figure{number}.rst",
            category="Figures",
            labels={"figure": str(number), "format": kind},
        )
        files.append(shown)
    return files


rule plot_conservation:
    input:
        summaries=summaries_of(MODELS),
        code=uses("plot_conservation"),
    output:
        figure_files("C"),
    log:
        f"{RESULTS}/logs/plot_conservation.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figureC",
        main=MAIN_MODELS,
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries} --main {params.main}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_figure1:
    input:
        summaries=summaries_of(replicates_of(MAIN_MODELS)),
        code=uses("plot_figure1"),
    output:
        figure_files(1),
    log:
        f"{RESULTS}/logs/plot_figure1.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figure1",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_figure2:
    input:
        summaries=summaries_of(replicates_of(MAIN_MODELS)),
        code=uses("plot_figure2"),
    output:
        figure_files(2),
    log:
        f"{RESULTS}/logs/plot_figure2.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figure2",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_figure3:
    input:
        summaries=summaries_of(MAIN_MODELS),
        code=uses("plot_figure3"),
    output:
        figure_files(3),
    log:
        f"{RESULTS}/logs/plot_figure3.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figure3",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_figure4:
    input:
        summaries=summaries_of([name for name in MAIN_MODELS if MODELS[name].objective == "mlm"]),
        code=uses("plot_figure4"),
    output:
        figure_files(4),
    log:
        f"{RESULTS}/logs/plot_figure4.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figure4",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_figure5:
    input:
        summaries=summaries_of(replicates_of(STOCK_MODELS)),
        code=uses("plot_figure5"),
    output:
        figure_files(5),
    log:
        f"{RESULTS}/logs/plot_figure5.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figure5",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_figure6:
    input:
        summaries=summaries_of(replicates_of([name for name in MODELS if name not in MAIN_MODELS])),
        code=uses("plot_figure6"),
    output:
        figure_files(6),
    log:
        f"{RESULTS}/logs/plot_figure6.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figure6",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_estimators:
    input:
        summaries=summaries_of(MAIN_MODELS),
        code=uses("plot_estimators"),
    output:
        figure_files("E"),
    log:
        f"{RESULTS}/logs/plot_estimators.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figureE",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule plot_distances:
    input:
        summaries=summaries_of(STOCK_MODELS),
        code=uses("plot_distances"),
    output:
        figure_files("D"),
    log:
        f"{RESULTS}/logs/plot_distances.log",
    localrule: True
    conda:
        "../envs/figures.yaml"
    params:
        stem=f"{FIGURES}/figureD",
    shell:
        "{PYTHON} {input.code[0]} --summaries {input.summaries}"
        " --output-stem {params.stem} > {log} 2>&1"


rule figureE:
    input:
        rules.plot_estimators.output,


rule figureD:
    input:
        rules.plot_distances.output,


rule figureC:
    input:
        rules.plot_conservation.output,


rule figure1:
    input:
        rules.plot_figure1.output,


rule figure2:
    input:
        rules.plot_figure2.output,


rule figure3:
    input:
        rules.plot_figure3.output,


rule figure4:
    input:
        rules.plot_figure4.output,


rule figure5:
    input:
        rules.plot_figure5.output,


rule figure6:
    input:
        rules.plot_figure6.output,


rule figures:
    input:
        [f"{FIGURES}/figure{number}.{kind}" for number in FIGURE_NUMBERS for kind in FORMATS],
