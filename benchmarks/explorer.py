"""Size of the explorer at paper size, and its times in a headless Chromium.

Makes synthetic cubes in a temporary folder, their page, and measures: megabytes of the page and of
each model; seconds until the page is drawn; the median time of a change of the selection.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from arguments import command_line
from limits import within_limits

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

ESTIMATORS = {"fresh": 10, "probe": 10, "simpson": 10, "probe_valid": 10, "simpson_valid": 10}
# Every kind of change: range of updates, estimator, heads of a layer, curves, a second model.
CHANGES = (
    "{{ from: {0}, to: {1} }}",
    "{{ a: {{ model: '{2}', rule: 'simpson', text: 'train' }} }}",
    "{{ mode: 'difference', b: {{ model: '{2}', rule: 'batch', text: 'train' }} }}",
    "{{ headsOf: 3 }}",
    "{{ layers: new Set([2, 3, 4]), components: new Set(['key', 'W1']) }}",
    "{{ layers: null, components: null, mode: 'one' }}",
)
WAIT = "const done = arguments[arguments.length - 1];"


def measure(page: Path, steps: int, model: str, downloads: Path) -> tuple[float, float]:
    """Seconds until the page is drawn, and the median seconds of a change."""
    from browsers import start_browser

    browser = start_browser(downloads)
    try:
        browser.get("about:blank")
        start = time.perf_counter()
        browser.get(page.as_uri())
        browser.execute_async_script(WAIT + "explorer.ready.then(() => done(null));")
        first = time.perf_counter() - start
        times = []
        for turn in range(1, 5):
            for change in CHANGES:
                wanted = change.format(steps // (turn + 5), steps // turn, model)
                times.append(
                    browser.execute_async_script(
                        WAIT + "const start = performance.now(); explorer.change("
                        f"{wanted}).then(() => done((performance.now() - start) / 1000));"
                    )
                )
        return first, median(times)
    finally:
        browser.quit()


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--steps", type=int, default=20000, help="updates of each cube")
    options = parser.parse_args()
    from losschange.explorer.page import explore
    from synthetic_cubes import write_cube

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cubes = [folder / f"{model}.nc" for model in ("clm-en", "mt-en-de")]
        for seed, cube in enumerate(cubes):
            write_cube(
                cube, cube.stem, options.steps, 12, heads=8, seed=seed, estimators=ESTIMATORS
            )
        explore(cubes, folder / "page", "Benchmark")
        page = folder / "page" / "index.html"
        of_models = [path.stat().st_size / 1e6 for path in (folder / "page/models").iterdir()]
        whole = sum(path.stat().st_size for path in (folder / "page").iterdir() if path.is_file())
        first, change = measure(page, options.steps, cubes[0].stem, folder)
    kept = within_limits(
        [
            ("largest model", max(of_models), 6, "MB"),
            ("page without models", whole / 1e6, 5, "MB"),
            ("first view", first, 2, "s"),
            ("change of the selection", change, 0.2, "s"),
        ]
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
