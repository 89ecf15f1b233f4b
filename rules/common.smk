"""The configuration, the folders of a run, and the code that a rule depends on."""

import ast
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from running.configuration import NEWS_TEST, synthetic_pairs
from running.configuration_check import ConfigurationError, load_configuration
from running.typed_text import keys_given_twice, typed_text
from running.corpus_costs import text_minutes, vocabulary_memory
from running.costs import evaluation_minutes, training_cost
from running.studies import load_studies
from running.run_files import RunFiles

config["run"] = typed_text(
    "run",
    config.get("run"),
    workflow.config_settings.configfiles,
    workflow.config_settings.config_args or [],
)
try:
    CONFIGURATION = load_configuration(
        config,
        places=workflow.is_main_process,
        found_before=keys_given_twice(workflow.config_settings.configfiles),
    )
except ConfigurationError as error:
    raise WorkflowError(str(error))

# The interpreter of this process; in a job with its own environment, the interpreter there.
PYTHON = "python" if workflow.deployment_settings.deployment_method else sys.executable
SCRIPTS = Path(os.path.relpath(Path(workflow.basedir) / "scripts"))
RESULTS = f"results/{CONFIGURATION.run}"
# The models of the run by name, without the variants that studies train.
MODELS = {model.name: model for model in CONFIGURATION.trained_models()}
# Every training by name: the training with a model's first seed has the model's name.
REPLICATES = CONFIGURATION.replicates()
CORPORA = {name: CONFIGURATION.corpora[name] for name in CONFIGURATION.used_corpora()}
STUDIES = load_studies(CONFIGURATION.studies)
RUN_FILES = RunFiles(CONFIGURATION, RESULTS)
# Estimated time and memory of each model, which its jobs request.
COSTS = {
    model.name: training_cost(CONFIGURATION, model) for model in CONFIGURATION.models_and_variants()
}
# Priorities: first jobs on text, because they need several cores, which running trainings would
# occupy; then the trainings and results of the study that `studies` lists first.
TEXT_FIRST, FIRST_STUDY = 2, 1
# The models that the figures of this study show.
FIRST_MODELS = {
    REPLICATES[Path(path).stem][0].name
    for study in load_studies(CONFIGURATION.studies[:1])
    for figure in study.figures
    for path in figure.inputs(RUN_FILES).get("summaries", [])
}
# Trainings of the models themselves, without those of variants.
MODEL_TRAININGS = [name for name, (model, _) in REPLICATES.items() if not model.variant]


wildcard_constraints:
    model="|".join(map(re.escape, REPLICATES)),
    corpus="[a-z0-9-]+",
    tokens="[a-z0-9.-]+",


def model_of(wildcards):
    """The model of a training."""
    return REPLICATES[wildcards.model][0]


def cost_of(wildcards):
    """The estimated cost of a training."""
    return COSTS[model_of(wildcards).name]


def model_memory(cost):
    """Megabytes to request for a job that holds a model of this estimated cost."""
    return CONFIGURATION.execution.memory or cost.host_memory


def training_minutes(cost):
    """Minutes to request for a training: the estimate, or less if the queue allows only less."""
    return min(cost.minutes_to_request, TIME_LIMIT or cost.minutes_to_request)


def rule_name(rule, of):
    """Name of one of several rules: the rule's general name, and a model, training or language."""
    return f"{rule}_{re.sub('[^a-zA-Z0-9]', '_', of)}"


def splits_of(corpus):
    """Splits of a corpus that are made of its sources."""
    return CONFIGURATION.corpora[corpus].splits()


def uses(script, *files):
    """A script and other files it reads, with every module of this project that they import.

    Rules list these files as inputs if an edit of the code should make the rule run again. The
    rules for fetching, tokens and training do not, because an edit must not retrain the models.
    """
    given = (SCRIPTS / f"{script}.py", *(SCRIPTS / name for name in files))
    waiting = [path for path in given if path.is_file()]
    found = {}
    while waiting:
        path = waiting.pop(0)
        if path not in found:
            found[path] = str(path)
            waiting += files_of_imports(path)
    return list(found.values())


@cache  # many rules use the same modules
def files_of_imports(path):
    """Files of this project that the import statements of a file mean."""
    if path.suffix != ".py":
        return []
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    meant = dict.fromkeys(file for node in nodes for file in imported_files(node, path))
    return [file for file in meant if file.is_file()]


def imported_files(node, path):
    """Files of this project that an import statement may mean."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
        base = SCRIPTS
    elif isinstance(node, ast.ImportFrom):
        base = path.parents[node.level - 1] if node.level else SCRIPTS
        start = f"{node.module}." if node.module else ""
        modules = [node.module or ""] + [start + alias.name for alias in node.names]
    else:
        return []
    stems = [base.joinpath(*module.split(".")) for module in modules if module]
    return [stem.with_suffix(".py") for stem in stems] + [stem / "__init__.py" for stem in stems]
