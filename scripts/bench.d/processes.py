"""What the processes below a command use (proc(5))."""

import os
import time
from pathlib import Path

from runner import DidNotRun, shown, started


def below(ancestor):
    """A process and all that it has started, by id."""
    parents = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        fields = stat(pid)
        if fields:
            parents[pid] = int(fields[1])
    found = {ancestor}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} | found
        if more == found:
            return found
        found = more


def cpu_seconds(ancestor):
    """Of all that a process has started and that still runs."""
    of_all = [stat(pid) for pid in below(ancestor) - {ancestor}]
    return sum(int(fields[11]) + int(fields[12]) for fields in of_all if fields) / os.sysconf("SC_CLK_TCK")


def peak_memory(words, bench, name="rankpool"):
    """Runs a command; the bytes that its processes of this name had at most, each at its own peak."""
    peaks = {}
    with started(words, bench.env, cwd=bench.folder) as process:
        while process.poll() is None:
            for pid in below(process.pid):
                peaks[pid] = peak(pid, name) or peaks.get(pid, 0)
            time.sleep(0.05)
        if process.returncode != 0:
            raise DidNotRun(f"{shown(words)}: exit code {process.returncode}: {process.stderr.read()[-300:]}")
    return sum(peaks.values())


def stat(pid):
    """The fields after a process's name, from its state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def peak(pid, name):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    if fields["Name"].strip() != name or "VmHWM" not in fields:
        return None
    return int(fields["VmHWM"].split()[0]) * 1024
