"""nginx from Debian's package, as a private process: for what a service meets behind a proxy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from carboy.testing.ports import HOST, free_port
from carboy.testing.processes.running import ServerProcess, find_binary, run_process, server_folder

_CONFIGURATION = """\
daemon off;
pid {folder}/pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {beside}
    server {{
        listen {host}:{port};
        {server}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class ProxyServer:
    """A running proxy.

    Attributes:
        process: to restart, kill or freeze it.
        port: on loopback.
        host: loopback.
    """

    process: ServerProcess
    port: int
    host: str = HOST

    @property
    def url(self) -> str:
        """Return its address, without a path."""
        return f"http://{self.host}:{self.port}"


@contextmanager
def nginx(server: str, *, beside: str = "") -> Iterator[ProxyServer]:
    """Run nginx.

    Args:
        server: what stands in its `server` block, such as `location / { proxy_pass http://127.0.0.1:8000; }`.
        beside: what stands beside that block, such as an `upstream`.

    Raises:
        MissingBinary: the Debian package `nginx` is not installed.
    """
    binary = find_binary("nginx", "nginx")
    port = free_port()
    with server_folder() as folder:
        path = folder / "nginx.conf"
        text = _CONFIGURATION.format(folder=folder, host=HOST, port=port, server=server, beside=beside)
        path.write_text(text, "utf-8")
        arguments = [binary, "-e", "stderr", "-p", str(folder), "-c", str(path)]
        with run_process(arguments, ready=port, folder=folder) as process:
            yield ProxyServer(process, port)
