"""What the jobs ask of the machine, or of the queue of a cluster."""

from reproduction.earlier_runs import take_results
from reproduction.files import UserError


def time_limit():
    """Minutes that the queue grants a job: time_limit in the profile's default-resources."""
    defaults = workflow.resource_settings.default_resources or {}
    return int(defaults["time_limit"].value) if "time_limit" in defaults else None


TIME_LIMIT = time_limit()
TRAINING_RESOURCES = {
    "mem_mb": CONFIGURATION.resources.training_memory,
    "gpu": CONFIGURATION.resources.training_gpus,
}
EVALUATION_RESOURCES = dict(TRAINING_RESOURCES)
if TIME_LIMIT:
    TRAINING_RESOURCES["runtime"] = TIME_LIMIT
# Only the process that plans repeats a job; the one that runs it in the queue would multiply them.
TRAINING_RETRIES = 3 if TIME_LIMIT and workflow.is_main_process else None


onstart:
    # The process that plans, in a real run. Two of them in one folder would undo each other's work.
    if workflow.is_main_process:
        try:
            take_results(
                Path(RESULTS),
                [Path(f"{RESULTS}/models/{name}/state") for name in REPLICATES],
                Path.cwd(),
            )
        except UserError as error:
            raise WorkflowError(str(error))
