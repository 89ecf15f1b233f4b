"""A headless Chromium for tests; without one they are skipped."""

import shutil

import pytest


def start_browser(downloads, width=1400, height=1700):
    """A browser that saves what it downloads in a folder."""
    selenium = pytest.importorskip("selenium", reason="Selenium, which drives browsers, is missing")
    from selenium.webdriver.chrome.service import Service

    assert selenium
    from selenium import webdriver

    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its driver is installed (chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--window-size={width},{height}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(60)
    return browser
