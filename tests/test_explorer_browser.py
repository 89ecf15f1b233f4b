"""The explorer in a real browser: load, click, select, compare, export; numbers against xarray."""

import csv
import time

import pytest

from browsers import start_browser
from losschange import open_cube
from losschange.explorer.page import explore
from synthetic_cubes import write_cube

pytestmark = pytest.mark.slow

STEPS = 200  # one update in each bin
WAIT = """
const done = arguments[arguments.length - 1];
const told = (error) => done(String(error));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("explorer")
    cubes = []
    for seed, (model, layers) in enumerate((("clm-en", 4), ("mt-en-de", 6))):
        cubes.append(place / f"{model}.nc")
        write_cube(
            cubes[-1], model, STEPS, layers, heads=2, seed=seed,
            estimators={"fresh": 10, "probe": 10, "probe_valid": 20},
        )  # fmt: skip
    explore(cubes, place / "page", "Test")
    return place


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    started = start_browser(downloads)
    yield started
    started.quit()


@pytest.fixture
def page(browser, folder):
    """A function that opens the page at a selection; returns the browser when all is drawn."""

    def opened(selection=""):
        browser.get("about:blank")
        browser.get((folder / "page" / "index.html").as_uri() + selection)
        error = browser.execute_async_script(WAIT + "explorer.ready.then(() => done(null), told);")
        assert error is None
        return browser

    yield opened
    # What the page complained of, apart from tests that expect it.
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []


def change(browser, parts):
    """Change the selection, as the controls do, and wait until it is drawn."""
    error = browser.execute_async_script(
        WAIT + f"explorer.change({parts}).then(() => done(null), told);"
    )
    assert error is None


def sums(browser):
    """What the page sums the selection to, for every side."""
    return browser.execute_script(
        "return explorer.sums().map(({ selection, all, change, records, cells }) =>"
        " ({ selection, all, change, records, cells }));"
    )


def choose(browser, control, value):
    """Choose in a list of the page as a reader does."""
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", control)).select_by_value(value)
    time.sleep(0.2)


def downloaded(downloads, name):
    """A file when the browser has saved it whole."""
    for _ in range(100):
        if (downloads / name).exists():
            return downloads / name
        time.sleep(0.1)
    raise AssertionError(f"{name} was not saved; there is {sorted(downloads.iterdir())}")


def test_a_selection_s_numbers_are_those_of_xarray(page, folder):
    browser = page("#a=clm-en:batch:train")
    with open_cube(folder / "clm-en.nc") as cube:
        (found,) = sums(browser)
        assert found["all"] == found["selection"] == pytest.approx(float(cube["lca"].sum()))
        change(
            browser,
            "{ from: 41, to: 120, layers: new Set([2, 3]), components: new Set(['key', 'W1']),"
            " heads: new Set(['none', '1']) }",
        )
        (found,) = sums(browser)
        updates = cube["lca"].sel(step=slice(41, 120))
        chosen = updates.sel(layer=[2, 3], component=["key", "W1"], head=["none", "1"])
        assert found["all"] == pytest.approx(float(updates.sum()), rel=1e-6)
        assert found["selection"] == pytest.approx(float(chosen.sum()), rel=1e-6)
        assert found["cells"] == 4
        # The table shows what was computed.
        row = browser.find_element("css selector", "tr[data-row=selection]").text
        shown = float(row.rpartition(" ")[2].replace("−", "-"))
        assert shown == pytest.approx(found["selection"], rel=1e-3)


def test_the_measured_loss_is_that_of_exactly_the_selection(page, folder):
    browser = page("#a=clm-en:probe:train&from=41&to=120")
    with open_cube(folder / "clm-en.nc") as cube:
        inside = {"step_probe": slice(41, 120)}
        before, after = (cube[name].sel(inside) for name in ("probe_loss_before", "probe_loss"))
        (found,) = sums(browser)
        assert found["change"] == pytest.approx(float((after - before).sum()), rel=1e-6)
        assert found["all"] == pytest.approx(float(cube["lca_probe"].sel(inside).sum()), rel=1e-6)
        assert found["records"] == 8


def test_a_sample_of_updates_is_scaled_and_said_to_be(page, folder):
    browser = page("#a=clm-en:fresh:train")
    with open_cube(folder / "clm-en.nc") as cube:
        (found,) = sums(browser)
        assert found["all"] == pytest.approx(10 * float(cube["lca_fresh"].sum()), rel=1e-6)
    assert "times 10.00" in browser.find_element("id", "notes").text


def test_controls_choose_model_estimator_text_and_cells(page):
    browser = page()
    choose(browser, "a-model", "mt-en-de")
    choose(browser, "a-rule", "probe")
    choose(browser, "a-text", "valid")
    browser.find_element("css selector", "#components summary").click()
    browser.find_element("css selector", "#components input[data-value=norm]").click()
    browser.find_element("id", "from").send_keys("9\t")  # 1 is there already: 19
    time.sleep(0.3)
    state = browser.execute_script("return { ...explorer.state, components: undefined }")
    assert state["a"] == {"model": "mt-en-de", "rule": "probe", "text": "valid"}
    assert state["from"] == 19
    assert browser.execute_script("return explorer.state.components.has('norm')") is False
    assert browser.execute_script("return explorer.state.components.has('key')") is True


def test_a_click_on_a_cell_draws_its_curve_and_its_layer_s_heads(page, folder):
    from selenium.webdriver import ActionChains

    browser = page("#a=clm-en:batch:train")
    panel = browser.find_element("id", "map-a")
    x, y, name = browser.execute_script("""
        const table = shown["map-a"];
        const [row, column] = [table.rows.indexOf("dec.3"), table.columns.indexOf("query")];
        const { _size: size } = document.getElementById("map-a")._fullLayout;
        return [size.l + (size.w * (column + 0.5)) / table.columns.length,
          size.t + size.h * (1 - (row + 0.5) / table.rows.length), table.name(row, column)];
    """)
    size = panel.size
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", panel)
    ActionChains(browser).move_to_element_with_offset(
        panel, x - size["width"] / 2, y - size["height"] / 2
    ).pause(0.3).perform()
    assert "dec.3 query" in browser.find_element("css selector", "#map-a .hoverlayer").text
    ActionChains(browser).click().perform()
    time.sleep(0.5)
    state = browser.execute_script("return [explorer.state.cells, explorer.state.headsOf]")
    assert state == [[name], 3] and name == "3.query"
    curve = browser.execute_script("""
        const [{ y, x }] = document.getElementById("curves").data; return [x.at(-1), y.at(-1)];
    """)
    with open_cube(folder / "clm-en.nc") as cube:
        total = float(cube["lca"].sel(layer=3, component="query").sum())
    assert curve[0] == STEPS and curve[1] == pytest.approx(total, rel=1e-6)
    assert browser.execute_script("return shown['heads-a'].columns") == ["head 0", "head 1"]


def test_the_heat_map_can_be_used_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    browser = page("#a=clm-en:batch:train")
    panel = browser.find_element("id", "map-a")
    browser.execute_script("arguments[0].focus()", panel)
    panel.send_keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_RIGHT)
    spoken = browser.find_element("id", "spoken").text
    assert spoken.startswith("dec.2 key: ") and spoken.endswith("nats")
    panel.send_keys(Keys.ENTER)
    time.sleep(0.3)
    assert browser.execute_script("return explorer.state.cells") == ["2.key"]


def test_two_models_side_by_side_and_as_a_difference(page, folder):
    browser = page("#a=clm-en:batch:train")
    alone = browser.find_element("css selector", "#map-a svg").size
    change(browser, "{ b: { model: 'mt-en-de', rule: 'batch', text: 'train' }, mode: 'side' }")
    beside = browser.find_element("css selector", "#map-a svg").size
    assert beside["width"] < 0.6 * alone["width"] and beside["height"] == alone["height"]
    assert browser.find_element("id", "map-b").is_displayed()
    assert len(sums(browser)) == 2
    choose(browser, "mode", "difference")
    assert not browser.find_element("id", "map-b").is_displayed()
    with (
        open_cube(folder / "clm-en.nc") as one,
        open_cube(folder / "mt-en-de.nc") as other,
    ):
        cell = {"layer": 2, "component": "W1"}
        expected = float(one["lca"].sel(cell).sum() - other["lca"].sel(cell).sum())
    shown = browser.execute_script("return shown['map-a'].sums.get('2.W1')")
    assert shown == pytest.approx(expected, rel=1e-5)


def test_two_estimators_of_one_model_are_compared(page, folder):
    browser = page("#a=clm-en:batch:train&b=clm-en:probe:train&mode=difference")
    with open_cube(folder / "clm-en.nc") as cube:
        totals = float(cube["lca"].sum()), float(cube["lca_probe"].sum())
    assert [one["all"] for one in sums(browser)] == pytest.approx(totals, rel=1e-6)


def test_a_model_beside_itself_differs_nowhere(page):
    browser = page("#a=clm-en:batch:train&b=clm-en:batch:train&mode=difference")
    values = browser.execute_script("return [...shown['map-a'].sums.values()]")
    assert values and set(values) == {0}


def test_the_link_keeps_the_selection(page, browser):
    page("#a=mt-en-de:probe:train&b=clm-en:batch:train&mode=side")
    change(
        browser,
        "{ from: 30, to: 90, layers: new Set([1, 2]), heads: new Set(['0']), cells: ['1.key.0'],"
        " curves: 'update' }",
    )
    link = browser.find_element("id", "link").get_attribute("href").partition("#")[2]
    before = sums(browser)
    page(f"#{link}")
    assert sums(browser) == before
    assert browser.execute_script("return writtenSelection()") == link


def test_csv_and_png_are_saved(page, folder, downloads):
    browser = page("#a=clm-en:batch:train&from=11&to=50")
    for kind in ("csv", "png"):
        browser.find_element("css selector", f"[data-{kind}=map]").click()
    with downloaded(downloads, "losschange-map.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open_cube(folder / "clm-en.nc") as cube:
        updates = cube["lca"].sel(step=slice(11, 50))
        for row in rows:
            cell = updates.sel(layer=int(row["layer"]), component=row["component"])
            assert float(row["sum_lca_nats"]) == pytest.approx(float(cell.sum()), rel=1e-5)
        assert len(rows) == int(updates.notnull().any("step").any("head").sum())
    assert downloaded(downloads, "losschange-map-a.png").read_bytes()[:4] == b"\x89PNG"


def test_the_page_fits_a_narrow_screen(page, browser):
    browser.set_window_size(500, 900)
    page("#a=clm-en:batch:train&b=mt-en-de:batch:train&mode=side")
    wide, screen = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    browser.set_window_size(1400, 1700)
    assert wide <= screen


def test_a_missing_file_is_told_on_the_page(browser, folder):
    hidden = folder / "page" / "models" / "mt-en-de.js"
    kept = hidden.rename(folder / "mt-en-de.js")
    try:
        browser.get("about:blank")
        browser.get((folder / "page" / "index.html").as_uri() + "#a=mt-en-de:batch:train")
        error = browser.execute_async_script(WAIT + "explorer.ready.then(() => done(null), told);")
        message = browser.find_element("id", "message").text
    finally:
        kept.rename(hidden)
        browser.get_log("browser")
    assert "models/mt-en-de.js is missing" in message and message in error
