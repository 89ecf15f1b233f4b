"""Build fairseq with what training and data need: two of six compiled modules, no scikit-learn.

Python runs a module of this name when it starts. set_up.py puts this folder on PYTHONPATH only
while uv builds fairseq. fairseq's setup.py has no option to choose modules: it calls
`setuptools.setup` with all six, which take three minutes to compile. This module removes four of
them from the call. For each of these a Python module is installed whose import raises an error that
says how to build it.

fairseq imports all of its tasks and criterions whenever it is imported. Three of them classify
sentences or sound and import scikit-learn, which takes a second of every process. They are left
out: their names are then unknown to fairseq's command line.
"""

from pathlib import Path

import setuptools

BUILT = ("fairseq.data.data_utils_fast", "fairseq.data.token_block_utils_fast")
# What each other module is for. ngram_repeat_block_cuda is not among them: the archive lacks its
# source, and fairseq does the same more slowly in Python.
LEFT_OUT = {
    "fairseq.libbleu": "the scorer `bleu`, in whose place there is `sacrebleu`",
    "fairseq.libbase": "BASE layers",
    "fairseq.libnat": "the non-autoregressive models Levenshtein and insertion Transformer",
    "alignment_train_cpu_binding": "simultaneous translation with monotonic attention",
}
CLASSIFIERS = (
    "fairseq/criterions/sentence_prediction.py",
    "fairseq/criterions/sentence_prediction_adapters.py",
    "fairseq/tasks/audio_classification.py",
)
MODULE = """raise ImportError(
    "{name} is left out by this project's set-up; fairseq needs it for {purpose}. "
    "To build all of fairseq (three minutes, a C++ compiler): python -m pip install "
    "--force-reinstall --no-cache-dir --no-deps --no-build-isolation fairseq-fixed=={version}"
)
"""


def reduced(options):
    """The arguments of `setuptools.setup` with two extensions, in the archive's folder.

    Raises
    ------
    SystemExit
        If the extensions are not those that this file knows: then it is another fairseq.
    """
    extensions = {extension.name: extension for extension in options["ext_modules"]}
    if set(extensions) != {*BUILT, *LEFT_OUT}:
        raise SystemExit(
            f"fairseq's archive has the extensions {', '.join(extensions)}; "
            f"{__file__} expects {', '.join([*BUILT, *LEFT_OUT])}."
        )
    for name, purpose in LEFT_OUT.items():
        path = Path(*name.split(".")).with_suffix(".py")
        path.write_text(MODULE.format(name=name, purpose=purpose, version=options["version"]))
    for name in CLASSIFIERS:
        # pip calls setup.py twice in the same folder: for the description, then for the wheel.
        Path(name).unlink(missing_ok=True)
    alone = [name for name in LEFT_OUT if "." not in name]
    return {
        **options,
        "ext_modules": [extensions[name] for name in BUILT],
        "py_modules": alone,
    }


original = setuptools.setup


def setup(**options):
    """`setuptools.setup` for fairseq's setup.py."""
    return original(**reduced(options) if options.get("name") == "fairseq-fixed" else options)


setuptools.setup = setup
