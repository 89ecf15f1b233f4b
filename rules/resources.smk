"""Resources that jobs request from the machine or from the queue of a cluster."""

import threading

from running.earlier_runs import take_results, trained_again
from common.files import UserError
from running.status import write_plan


def time_limit():
    """Minutes that the queue allows a job, from config.yaml or the profile; None if not given."""
    named = workflow.resource_settings.default_resources or {}
    in_profile = int(named["time_limit"].value) if "time_limit" in named else None
    return CONFIGURATION.execution.time_limit or in_profile


TIME_LIMIT = time_limit()
# Number of tries of a training: twice the number that the time limit requires by the estimate,
# because machines may be slower, and two more for failing nodes. At least ten, because the estimate
# may be wrong; a try without progress ends soon. Without a time limit, the profile decides.
# Only the planning process repeats a job; otherwise the process in the queue would repeat it too.
TRAINING_RETRIES = (
    CONFIGURATION.execution.tries
    or max(2 * max(cost.tries(TIME_LIMIT) for cost in COSTS.values()) + 2, 10)
    if TIME_LIMIT and workflow.is_main_process
    else None
)


# Snakemake runs only the last onstart block, so this block also calls the others' functions.
onstart:
    # Only in the process that plans a run: two such processes in one folder would delete each
    # other's files. The cost table alone can be printed during another run.
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
        repeated = trained_again(Path(RESULTS), {name: kept_files(name) for name in REPLICATES})
        if repeated:
            print(repeated, file=sys.stderr)
    list_missing_sources()


def cancel_timers():
    """Cancel the timers of Snakemake's scheduler, so that Snakemake ends at once.

    The scheduler sets a timer for the time when it may start more jobs; with the limit in the
    profiles (`max-jobs-per-timespan`) this is up to an hour.
    """
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


onsuccess:
    cancel_timers()


onerror:
    cancel_timers()


# The kind of GPU to request on a cluster with several kinds.
GPU_MODEL = (
    {"gpu_model": CONFIGURATION.execution.gpu_model} if CONFIGURATION.execution.gpu_model else {}
)
