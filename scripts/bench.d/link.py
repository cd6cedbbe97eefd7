"""The crawl through a slower network: a link of 1 Gbit/s between two network namespaces.

On loopback a crawl takes what the cores give. Here there are two limits, and each moment is asked
which of them it is at: the link's rate, or cores without time to spare.
"""

import atexit
import os
import socket
import subprocess
import time
from typing import NamedTuple

from measure import Group, Row
from nginx import PORT, first_answer, serve
from runner import DidNotRun, command

WRK = "wrk"
NAMESPACE, OUTSIDE, INSIDE = "rankpool-link", "rankpool-l0", "rankpool-l1"
ADDRESS, SERVER = "10.98.7.1", "10.98.7.2"
RATE = 1e9  # bits a second, with all headers
FULL, FREE = 0.9, 0.1  # of the rate; of the cores' time
LOOK = 0.1  # seconds


def group(bench, site):
    link = Link(bench, site)
    return Group(
        "crawl through a link",
        [link.ours, link.wrk],
        [
            Row("the same crawl through a link of 1 Gbit/s", "ours", WRK, "bit/s"),
            Row("the same: share of the time that the link is full", "full", unit=""),
            Row("the same: that the link is full or the cores are busy", "at a limit", unit=""),
            Row("the same: the kernel's part of the time while the cores are busy", "kernel", unit=""),
        ],
        [link.prepare],
    )


class Look(NamedTuple):
    """What was seen since the look before."""

    rate: float  # of the link, as a share
    free: float  # of the cores' time, as a share
    kernel: float  # of the time that is not free, as a share


class Link:
    def __init__(self, bench, site):
        self.bench, self.site = bench, site
        self.received = f"/sys/class/net/{OUTSIDE}/statistics/rx_bytes"

    def prepare(self):
        if os.geteuid() != 0:
            raise DidNotRun("needs root, for a network namespace")
        if self.site.folder is None:
            raise DidNotRun("there is no site")
        self.bench.find_programs({"ip": "iproute2", "tc": "iproute2"})
        within = ("ip", "-n", NAMESPACE)
        shape = ("root", "tbf", "rate", f"{RATE:.0f}bit", "burst", "256kb", "latency", "20ms")
        self.do("ip", "netns", "add", NAMESPACE)
        atexit.register(subprocess.run, ["ip", "netns", "del", NAMESPACE], check=False)
        self.do("ip", "link", "add", OUTSIDE, "type", "veth", "peer", "name", INSIDE, "netns", NAMESPACE)
        self.do("ip", "addr", "add", f"{ADDRESS}/24", "dev", OUTSIDE)
        self.do(*within, "addr", "add", f"{SERVER}/24", "dev", INSIDE)
        self.do("ip", "link", "set", OUTSIDE, "up")
        self.do(*within, "link", "set", INSIDE, "up")
        self.do("tc", "qdisc", "add", "dev", OUTSIDE, *shape)
        self.do("tc", "-n", NAMESPACE, "qdisc", "add", "dev", INSIDE, *shape)
        listen = f"\n    server {{ listen {SERVER}:{PORT}; root {self.site.folder}; }}"
        folder = self.bench.folder / "nginx-link"
        process = serve(folder, listen, "ip", "netns", "exec", NAMESPACE)
        first_answer(folder, process, lambda: socket.create_connection((SERVER, PORT), timeout=1).close())

    def do(self, *words):
        command(words, self.bench.env)

    def ours(self):
        looks = self.looks(self.site.crawl_words(f"http://{SERVER}:{PORT}{self.site.page}"))
        full = [look for look in looks if look.rate >= FULL]
        busy = [look for look in looks if look.rate < FULL and look.free <= FREE]
        found = {"ours": mean_rate(looks), "full": len(full) / len(looks)}
        found["at a limit"] = (len(full) + len(busy)) / len(looks)
        if busy:
            found["kernel"] = sum(look.kernel for look in busy) / len(busy)
        return found

    def wrk(self):
        return {WRK: mean_rate(self.looks(self.site.wrk_words(f"{SERVER}:{PORT}")))}

    def looks(self, words):
        """Looks again and again while a command runs."""
        nowhere = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        process = subprocess.Popen([str(word) for word in words], cwd=self.bench.folder, env=self.bench.env, **nowhere)
        looks, before = [], self.now()
        while process.poll() is None:
            time.sleep(LOOK)
            now = self.now()
            took, received, ticks, free, kernel = (new - old for new, old in zip(now, before))
            used = max(1, ticks - free)
            looks.append(Look(8 * received / took / RATE, free / max(1, ticks), kernel / used))
            before = now
        if process.returncode != 0:
            raise DidNotRun(f"{words[0]} ended with {process.returncode}")
        return looks

    def now(self):
        """Seconds; bytes received; ticks of all cores, those in which they had nothing to do, and the kernel's."""
        with open(self.received, encoding="ascii") as received, open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:]]
            _user, _nice, system, idle, _iowait, irq, softirq = ticks[:7]  # proc_stat(5)
            return time.perf_counter(), int(received.read()), sum(ticks), idle, system + irq + softirq


def mean_rate(looks):
    """Bits a second."""
    return sum(look.rate for look in looks) / len(looks) * RATE
