"""What the jobs ask of the machine, or of the queue of a cluster."""

from reproduction.earlier_runs import take_results
from reproduction.files import UserError


def time_limit():
    """Minutes that the queue allows a job, from config.yaml or the profile; None if it does not say."""
    named = workflow.resource_settings.default_resources or {}
    in_profile = int(named["time_limit"].value) if "time_limit" in named else None
    return CONFIGURATION.resources.time_limit or in_profile


TIME_LIMIT = time_limit()
# Tries of a training: those that the time limit makes necessary by the estimate, twice for a
# machine that is slower, and two for a node that fails. Without a limit: what the profile says.
# Only the process that plans repeats a job; the one that runs it in the queue would multiply them.
TRAINING_RETRIES = (
    2 * max(cost.tries(TIME_LIMIT) for cost in COSTS.values()) + 2
    if TIME_LIMIT and workflow.is_main_process
    else None
)


def take_results_folder():
    """Only one process of Snakemake works on a results folder; a look at the cost needs none."""
    if not workflow.is_main_process or set(workflow.dag_settings.targets) == {"cost"}:
        return
    try:
        take_results(
            Path(RESULTS),
            [Path(f"{RESULTS}/models/{name}/state") for name in REPLICATES],
            Path.cwd(),
        )
    except UserError as error:
        raise WorkflowError(str(error))
