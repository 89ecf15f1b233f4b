"""Translate pip's settings to uv's.

uv does not read pip's settings. A mirror, a folder with a build of PyTorch, a certificate or
constraints that pip is configured with should hold for the set-up too. Uses the standard library
only and works with any Python from 3.7 on.
"""

import ast
import subprocess

# Names of pip's settings and uv's variables that hold one value.
SAME = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
# The same for lists, with uv's separator; pip separates by white space.
LISTS = {
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
# pip uses the certificates in these variables if its settings name none.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def read_pip_settings(python, environment):
    """Read the settings of `pip install` from pip's files and variables.

    Parameters
    ----------
    python : str
        An interpreter that has pip.
    environment : dict
        Variables that pip is run with.

    Returns
    -------
    dict of a setting's name, such as "index-url", to its text
    """
    command = [python, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    answer = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    sections = {"global": {}, "install": {}, ":env:": {}}  # later ones win, as in pip
    for line in answer.stdout.decode().splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in sections:
            sections[section][name] = ast.literal_eval(value)
    return {name: value for section in sections.values() for name, value in section.items()}


def uv_settings(settings, environment):
    """The same settings for uv.

    Parameters
    ----------
    settings : dict
        See `read_pip_settings`.
    environment : dict
        Variables of the set-up. uv's own are kept where pip has no setting.

    Returns
    -------
    variables : dict
        To add to uv's environment. Addresses may hold passwords, so they are no arguments.
    options : list of str
        To add to `uv pip install`.
    """
    # pip takes the best version of all indexes; uv would stop at the first that has the name.
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    certificate = [environment[name] for name in CERTIFICATES if environment.get(name)]
    if certificate and not environment.get("SSL_CERT_FILE"):
        variables["SSL_CERT_FILE"] = certificate[0]
    for name, value in settings.items():
        if name in SAME:
            variables[SAME[name]] = value
        elif name in LISTS:
            variable, separator = LISTS[name]
            variables[variable] = separator.join(value.split())
        elif name == "proxy":
            variables.update(HTTP_PROXY=value, HTTPS_PROXY=value)
        elif name == "cache-dir" and not environment.get("UV_CACHE_DIR"):
            variables["UV_CACHE_DIR"] = f"{value}/uv"  # on the disk that was chosen for pip's
        elif name == "no-cache-dir" and is_true(value):
            variables["UV_NO_CACHE"] = "1"
        elif name == "keyring-provider" and value in ("import", "subprocess"):
            variables["UV_KEYRING_PROVIDER"] = "subprocess"
    options = ["--no-index"] if is_true(settings.get("no-index", "")) else []
    for name in ("no-binary", "only-binary"):
        for package in settings.get(name, "").replace(",", " ").split():
            options += [f"--{name}", package]
    return variables, options


def is_true(text):
    """Whether pip reads a text as "yes"."""
    return text.lower() in ("1", "true", "yes", "y", "t", "on")
