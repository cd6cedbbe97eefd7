"""The server that all crawlers ask."""

import atexit
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import machine
from runner import DidNotRun, stop

PORT = 18_480


def serve(folder, servers, *inside):
    """Starts an nginx that ends with this program, `inside` a namespace perhaps."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    conf = f"""{user} daemon off; worker_processes auto; pid {folder / "pid"}; error_log {folder / "error"};
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; server_tokens off; {temporary}
    types {{ text/html html; text/css css; text/javascript js; image/svg+xml svg; text/plain txt md; }}
    default_type application/octet-stream; charset utf-8;{servers}
}}
"""
    (folder / "conf").write_text(conf)
    words = [*inside, "nginx", "-e", folder / "error", "-c", folder / "conf"]
    nowhere = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    process = subprocess.Popen([str(word) for word in words], **nowhere, start_new_session=True)
    atexit.register(stop, process)
    machine.SERVERS.append(process.pid)
    return process


def first_answer(folder, process, ask):
    """Waits until a server that has just been started can be asked."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                last = (folder / "error").read_text().splitlines()[-1:] if (folder / "error").exists() else []
                raise DidNotRun(f"nginx does not answer: {' '.join(last)}") from None
        time.sleep(0.05)


class Nginx:
    """One server for everything, ended with this program."""

    process = None

    def __init__(self, bench):
        self.bench, self.folder = bench, bench.folder / "nginx"

    def start(self, site, web):
        if Nginx.process is not None:
            return
        for port in (PORT, PORT + 1):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise DidNotRun(f"something listens at port {port} already: end it")
        listen = f"""
    server {{ listen 127.0.0.1:{PORT}; root {site}; location = /.status {{ stub_status; }} }}
    server {{ listen {PORT + 1}; root {web}; }}"""
        Nginx.process = serve(self.folder, listen)
        first_answer(self.folder, Nginx.process, self.requests)

    def requests(self):
        """How many it has answered so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/.status", timeout=10) as answer:
            return int(re.search(r"requests\s+\d+ \d+ (\d+)", answer.read().decode()).group(1))
