"""What pip is configured to decides how uv installs: settings are read, and become uv's."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import pip_settings  # noqa: E402  (tools/ is no package: it runs before there is an environment)
import set_up  # noqa: E402


def test_what_pip_is_configured_to_is_read_from_files_and_variables(tmp_path):
    """Variables win over files, and what is set for `pip install` alone over what is global."""
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://one.example/simple\ntimeout = 7\n"
        "find-links = /first\n  /second\n"
        "[install]\ntimeout = 9\n[download]\ntimeout = 11\n"
    )
    # Read apart from this machine's own settings.
    environment = {key: text for key, text in os.environ.items() if not key.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": str(configuration), "PIP_INDEX_URL": "https://two.example/"}
    settings = pip_settings.read_pip_settings(sys.executable, environment)
    assert settings["index-url"] == "https://two.example/"
    assert settings["timeout"] == "9"
    assert settings["find-links"].split() == ["/first", "/second"]


def test_pip_s_settings_become_uv_s():
    settings = {
        "index-url": "https://user:secret@mirror.example/simple",
        "extra-index-url": "https://a.example\nhttps://b.example",
        "find-links": "/first /second",
        "constraint": "/c.txt",
        "cert": "/ca.pem",
        "trusted-host": "mirror.example",
        "proxy": "http://proxy.example:3128",
        "timeout": "60",
        "retries": "9",
        "cache-dir": "/large/disk",
        "keyring-provider": "import",
        "no-index": "true",
        "only-binary": "numpy,scipy",
        "disable-pip-version-check": "1",
    }
    variables, options = pip_settings.uv_settings(settings, {})
    assert variables == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://user:secret@mirror.example/simple",
        "UV_INDEX": "https://a.example https://b.example",
        "UV_FIND_LINKS": "/first,/second",
        "UV_CONSTRAINT": "/c.txt",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INSECURE_HOST": "mirror.example",
        "HTTP_PROXY": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "UV_HTTP_TIMEOUT": "60",
        "UV_HTTP_RETRIES": "9",
        "UV_CACHE_DIR": "/large/disk/uv",
        "UV_KEYRING_PROVIDER": "subprocess",
    }
    assert options == ["--no-index", "--only-binary", "numpy", "--only-binary", "scipy"]


def test_where_pip_is_told_nothing_uv_s_own_settings_hold():
    own = {"UV_CACHE_DIR": "/own", "SSL_CERT_FILE": "/own.pem", "CURL_CA_BUNDLE": "/curl.pem"}
    alone = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    assert pip_settings.uv_settings({"no-cache-dir": "0"}, own) == (alone, [])
    assert pip_settings.uv_settings({"cache-dir": "/disk"}, own) == (alone, [])
    more, _ = pip_settings.uv_settings({}, {"CURL_CA_BUNDLE": "/curl.pem"})
    assert more == {**alone, "SSL_CERT_FILE": "/curl.pem"}


@pytest.mark.slow
def test_uv_takes_pytorch_from_the_folder_that_pip_knows(tmp_path):
    """A build in pip's find-links is what uv would install, with no index at all."""
    for name in set_up.ANY_BUILD:
        make_wheel(tmp_path, name, "2.13.0+cpu")
    environment = {**os.environ, "PIP_FIND_LINKS": str(tmp_path), "PIP_NO_INDEX": "1"}
    environment |= {"PIP_EXTRA_INDEX_URL": "", "UV_CACHE_DIR": str(tmp_path / "cache")}
    settings = pip_settings.read_pip_settings(sys.executable, environment)
    variables, options = pip_settings.uv_settings(settings, environment)
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", *options, "--target", str(tmp_path / "target")]
    command += ["--python", sys.executable, *(f"{name}==2.13.0" for name in set_up.ANY_BUILD)]
    done = subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in set_up.ANY_BUILD:
        assert f"+ {name}==2.13.0+cpu" in done.stderr


def make_wheel(folder, name, version):
    """An empty package, as pip and uv install it."""
    place = f"{name}-{version}.dist-info"
    files = {
        f"{place}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{place}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{place}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
