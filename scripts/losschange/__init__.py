"""Loss Change Allocation: which parameters lowered the loss, at every update of a training.

Knows neither fairseq nor Snakemake. To record a training of your own: `attach`, or a callback of
`losschange.adapters`.

Read in this order: `cube.format` and `cube.estimators` (what is recorded), `recording.partition`
(which parameter belongs to which cell) and `schemas` (for common models), `recording.allocation`
(the mathematics), `recording.probe_integrator` and `recording.probe_schedule` (probes along a
training), `recording.recorder` (what happens before and after an update), `recording.attachment`
(how it follows an optimizer), `cube.writer`, `cube.parts` and `cube.assembly` (how a growing cube
survives a crash), `analysis.streaming` and `analysis.summaries` (one pass over a cube),
`analysis.noise` (the three parts of the paper's estimator), `analysis.profiles` and `plots`,
`cube.run_status` and `command` (the state of a running training).
"""

from importlib import import_module

# Raise it when the recorded numbers change: cubes of another version are then recorded anew.
RECORDING_VERSION = 2

# Where the public names live. They are imported when they are used: the workflow reads the version
# above for every command, and PyTorch takes seconds to load.
_PLACES = {
    "AttachedRecorder": "recording.attachment",
    "CubeError": "cube.layout",
    "NoiseError": "analysis.noise_pieces",
    "PartitionError": "recording.partition",
    "RecordingError": "errors",
    "Rule": "recording.partition",
    "Schema": "recording.partition",
    "WordBins": "cube.word_bins",
    "attach": "recording.attachment",
    "bin_words": "cube.word_bins",
    "check_heads": "schemas",
    "gpt2_schema": "schemas",
    "llama_schema": "schemas",
    "noise_scale": "analysis.noise_scale",
    "open_cube": "cube.format",
    "parts": "analysis.noise",
    "record_checkpoints": "checkpoints",
    "resampled_parts": "analysis.noise_draws",
    "schema_for": "schemas",
    "summarise_cube": "analysis.summaries",
    "transformer_encoder_schema": "schemas",
    "two_batch_noise_scale": "analysis.noise_scale",
    "update_parts": "analysis.noise",
}
__all__ = ["RECORDING_VERSION", *_PLACES]


def __getattr__(name: str) -> object:
    """Import a public name from the module that it lives in."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
