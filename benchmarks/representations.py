"""Time and memory of the measures of representation spaces, at paper size, on one core.

Draws states of 20,000 words and 512 dimensions, writes them to a states file (not counted), and
compares with the limits. Seconds are processor time of one core, so that other work counts little.
They still depend on the machine: each is printed with its ratio to one product XᵀX of the same
states, timed in the same run, and to their SVD.
"""

from __future__ import annotations

import os

# Before numpy is imported: its libraries read the number of threads once.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from arguments import command_line
from limits import within_limits

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from representations.comparison import compare_states  # noqa: E402
from representations.covariances import covariances_of  # noqa: E402
from representations.description import describe_states  # noqa: E402
from representations.neighbours import nearest  # noqa: E402
from representations.pwcca import canonical_correlations, correlations_of  # noqa: E402
from representations.rsa import rsa  # noqa: E402
from representations.states import StatesReader, StatesWriter  # noqa: E402
from representations.words import PiecedSentence, make_words  # noqa: E402
from studies.representations.measuring.snapshots import distances_of  # noqa: E402

WORDS, WIDTH, LENGTH, VOCABULARY = 20_000, 512, 20, 2_000
RSA_WORDS, NEIGHBOUR_WORDS = 1_000, 5_000
MOST_SECONDS = {"PWCCA": 3, f"RSA of {RSA_WORDS:,}": 2, f"neighbours of {NEIGHBOUR_WORDS:,}": 3}
MOST_GIGABYTES = 1.5


def timed(run: Callable[[], object], repeats: int) -> float:
    """Seconds of processor time, the least of several runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def draw_words(draw: np.random.Generator):
    """A table of words whose frequencies fall off as in text."""
    chance = 1 / np.arange(2, VOCABULARY + 2)
    words = draw.choice(VOCABULARY, (WORDS // LENGTH, LENGTH), p=chance / chance.sum())
    places = tuple(range(LENGTH))
    sentences = [
        PiecedSentence(tuple(f"w{word}" for word in row), places, (1,) * LENGTH) for row in words
    ]
    return make_words({"one": sentences, "two": sentences})


def write_states(path: Path, layers: int, draw: np.random.Generator) -> None:
    """States that share a part from layer to layer, with axes of uneven length."""
    scales = np.geomspace(3, 0.03, WIDTH)
    with StatesWriter(path, [str(layer) for layer in range(layers)], WORDS, WIDTH) as file:
        for start in range(0, WORDS, 2_000):
            states = draw.normal(size=(2_000, WIDTH)) * scales
            for layer in range(layers):
                states = states + 0.3 * draw.normal(size=states.shape) * scales
                file.write(str(layer), start, states)


def time_measures(path: Path, repeats: int) -> dict[str, float]:
    """Seconds of the references and measures on the first two layers."""
    with StatesReader(path) as file:
        first, second = (file.layer(name).astype(np.float64) for name in file.layers[:2])
    sentences = np.arange(WORDS) // LENGTH
    few, more = slice(RSA_WORDS), slice(NEIGHBOUR_WORDS)
    runs: dict[str, Callable[[], object]] = {
        "product": lambda: first.T @ first,
        "SVD": lambda: np.linalg.svd(first, full_matrices=False),
        "PWCCA": lambda: canonical_correlations(first, second),
        "PWCCA from sums, with its floor": lambda: [
            correlations_of(sums, permuted)
            for sums in [covariances_of(first, second)]
            for permuted in (False, True)
        ],
        f"RSA of {RSA_WORDS:,}": lambda: rsa(first[few], second[few]),
        f"neighbours of {NEIGHBOUR_WORDS:,}": lambda: nearest(first[more], sentences[more]),
    }
    return {name: timed(run, repeats) for name, run in runs.items()}


def main() -> int:
    """Measure, print, and return 0 if all limits are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--layers", type=int, default=2, help="layers of the spaces described")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the fastest counts")
    options = parser.parse_args()
    draw = np.random.default_rng(0)
    words = draw_words(draw)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{model}.nc" for model in ("one", "two")]
        for path in paths:
            write_states(path, options.layers, draw)
        seconds = time_measures(paths[0], options.repeats)
        start = time.process_time()
        distances_of(*paths, seed=0)
        snapshots = time.process_time() - start
        start = time.process_time()
        describe_states(paths[0], words)
        described = time.process_time() - start
        compare_states(*paths, words)
        compared = time.process_time() - start - described
    for what, number in seconds.items():
        ratios = number / seconds["product"], number / seconds["SVD"]
        print(f"{what}: {number:.2f} s, {ratios[0]:.1f} products, {ratios[1]:.2f} SVDs")
    print(f"two snapshots compared, block by block: {snapshots / options.layers:.1f} s a layer")
    pairs = options.layers**2
    print(f"a space described: {described / options.layers:.1f} s a layer")
    print(f"two spaces compared: {compared / pairs:.1f} s a pair of layers")
    # ru_maxrss is in KiB on Linux.
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    limits = [(what, seconds[what], most, "s") for what, most in MOST_SECONDS.items()]
    return 0 if within_limits([*limits, ("peak memory", gigabytes, MOST_GIGABYTES, "GiB")]) else 1


if __name__ == "__main__":
    sys.exit(main())
