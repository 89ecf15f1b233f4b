"""What the jobs ask of the machine, or of the queue of a cluster."""

from running.earlier_runs import take_results
from running.files import UserError
from running.status import write_plan


def time_limit():
    """Minutes that the queue allows a job, from config.yaml or the profile; None if it does not say."""
    named = workflow.resource_settings.default_resources or {}
    in_profile = int(named["time_limit"].value) if "time_limit" in named else None
    return CONFIGURATION.execution.time_limit or in_profile


TIME_LIMIT = time_limit()
# Tries of a training: those that the time limit makes necessary by the estimate, twice for a
# machine that is slower, and two for a node that fails. Ten at least, where the estimate is far off:
# a try that makes no progress ends soon. Without a limit: what the profile says.
# Only the process that plans repeats a job; the one that runs it in the queue would multiply them.
TRAINING_RETRIES = (
    CONFIGURATION.execution.tries
    or max(2 * max(cost.tries(TIME_LIMIT) for cost in COSTS.values()) + 2, 10)
    if TIME_LIMIT and workflow.is_main_process
    else None
)


# Snakemake runs one of these, the last; what other stages do first is called here.
onstart:
    # The process that plans, in a real run. Two of them in one folder would undo each other's work.
    # A look at the cost may be taken while another one runs.
    if workflow.is_main_process and set(workflow.dag_settings.targets) != {"cost"}:
        try:
            take_results(
                Path(RESULTS),
                [Path(f"{RESULTS}/models/{name}/state") for name in REPLICATES],
                Path.cwd(),
            )
            write_plan(
                Path(RESULTS),
                {
                    name: CONFIGURATION.training_of(model).total_updates
                    for name, (model, _) in REPLICATES.items()
                },
            )
        except UserError as error:
            raise WorkflowError(str(error))
    list_missing_sources()


# Asked for with every GPU where a cluster has several kinds.
GPU_MODEL = (
    {"gpu_model": CONFIGURATION.execution.gpu_model} if CONFIGURATION.execution.gpu_model else {}
)
