"""Read pip's configuration, so that uv installs from the indexes that pip would: variables first, then its files.

Source: pip's documentation, "Configuration".
"""

import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path

from carboy.errors import ConfigurationError

_SECTIONS = ("global", "install")  # the second is the stronger


@dataclass(frozen=True, slots=True)
class PipConfig:
    """What pip's configuration says of where packages come from; empty values where it says nothing."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout_s: str = ""
    retries: str = ""
    keyring: str = ""
    is_without_index: bool = False
    has_prereleases: bool = False

    def option_lines(self) -> list[str]:
        """Return it as options of a requirements file."""
        lines = [f"--index-url {self.index_url}"] if self.index_url else []
        lines += [f"--extra-index-url {url}" for url in self.extra_index_urls]
        lines += [f"--find-links {url}" for url in self.find_links if "://" in url]
        return lines + ["--no-index"] * self.is_without_index + ["--pre"] * self.has_prereleases

    def uv_arguments(self, environ: Mapping[str, str], *, has_own_index: bool, has_more_indexes: bool) -> list[str]:
        """Return it as arguments of `uv pip install`; uv's own variables and the requirements' index are stronger.

        Args:
            environ: the variables of the process.
            has_own_index: whether the requirements name the index that replaces the configured one.
            has_more_indexes: whether the requirements name indexes beside it.
        """
        arguments: list[str] = []
        has_no_index = bool(environ.get("UV_NO_INDEX"))
        is_replaced = has_own_index or has_no_index or bool({"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environ.keys())
        if self.index_url and not is_replaced:
            arguments += ["--index-url", self.index_url]
        for option, values, variables in (
            ("--extra-index-url", self.extra_index_urls, {"UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX"}),
            ("--find-links", self.find_links, {"UV_FIND_LINKS"}),
            ("--allow-insecure-host", self.trusted_hosts, {"UV_INSECURE_HOST"}),
            ("--constraint", self.constraints, {"UV_CONSTRAINT"}),
        ):
            if not variables & environ.keys():
                arguments += [part for value in values for part in (option, value)]
        if (has_more_indexes or "--extra-index-url" in arguments) and "UV_INDEX_STRATEGY" not in environ:
            arguments += ["--index-strategy", "unsafe-best-match"]  # pip's rule: no index hides another's versions
        if self.keyring in {"import", "subprocess"} and "UV_KEYRING_PROVIDER" not in environ:
            arguments += ["--keyring-provider", "subprocess"]
        arguments += ["--no-index"] * (self.is_without_index or has_no_index)
        return arguments + (["--prerelease", "allow"] if self.has_prereleases else [])

    def uv_environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment in which uv trusts, waits and goes through the proxy as pip would."""
        wanted = {"SSL_CERT_FILE": self.cert, "SSL_CLIENT_CERT": self.client_cert, "ALL_PROXY": self.proxy}
        patience = {"UV_HTTP_TIMEOUT": self.timeout_s, "UV_HTTP_RETRIES": self.retries}
        named = {name: value for name, value in patience.items() if value.isdecimal()}
        if any(ssl.get_default_verify_paths()[:2]):
            named["UV_SYSTEM_CERTS"] = "1"  # uv's own are without a company's authority
        return {**named, **environ, **{name: value for name, value in wanted.items() if value}}


def load_pip_config(environ: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> PipConfig:
    """Return pip's configuration as it is for a process.

    Args:
        environ: the variables; `PIP_…` are stronger than files, `PIP_CONFIG_FILE` names one more or `/dev/null`.
        prefix: of the Python installation, whose `pip.conf` counts.

    Raises:
        ConfigurationError: a file is not well formed.
    """
    values: dict[str, str] = {}
    for path in _files(environ, prefix):
        values |= _read(path)
    values |= {
        name[4:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PIP_") and value
    }

    def many(name: str) -> tuple[str, ...]:
        return tuple(values.get(name, "").split())

    def is_on(name: str) -> bool:
        return values.get(name, "").strip().lower() in {"1", "true", "yes", "on", "y", "t"}

    return PipConfig(
        index_url=values.get("index-url", "").strip(),
        extra_index_urls=many("extra-index-url"),
        find_links=many("find-links"),
        trusted_hosts=many("trusted-host"),
        constraints=many("constraint"),
        cert=values.get("cert", "").strip(),
        client_cert=values.get("client-cert", "").strip(),
        proxy=values.get("proxy", "").strip(),
        timeout_s=(values.get("timeout") or values.get("default-timeout", "")).strip(),
        retries=values.get("retries", "").strip(),
        keyring=values.get("keyring-provider", "").strip(),
        is_without_index=is_on("no-index"),
        has_prereleases=is_on("pre"),
    )


def _files(environ: Mapping[str, str], prefix: Path) -> Iterator[Path]:
    """Yield pip's files, the strongest last."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    shared = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    yield from (Path(folder, "pip", "pip.conf") for folder in reversed(shared.split(":")) if folder)
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    if sys.platform == "darwin" and (home / "Library/Application Support/pip").is_dir():
        yield home / "Library/Application Support/pip/pip.conf"
    else:
        yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield prefix / "pip.conf"
    if named:
        yield Path(named)


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (ConfigParserError, UnicodeDecodeError, PermissionError) as error:
        raise ConfigurationError(
            "pip's configuration cannot be read", f"`{path}`: {error}", "see `pip config debug`"
        ) from error
    return {
        name.replace("_", "-"): value
        for section in _SECTIONS
        if parser.has_section(section)
        for name, value in parser.items(section)
    }
