"""Which machine it was, and how much of it somebody else used meanwhile."""

import os
import platform
import resource
import subprocess
from pathlib import Path


def describe(root):
    return {
        "cores": len(os.sched_getaffinity(0)),
        "threads_per_core": threads_per_core(),
        "model": model(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(root),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def threads_per_core():
    siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    try:
        return sum(1 for _ in expand(siblings.read_text().strip()))
    except (OSError, ValueError):
        return None


def expand(ranges):
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def file_system(folder):
    found = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def text(machine):
    threads = machine["threads_per_core"]
    lines = {
        "machine": f"{machine['cores']} cores" + (f" ({threads} threads a core)" if threads and threads > 1 else "")
        + f", {machine['model']}, {machine['memory_gib']} GiB, {machine['kernel']}, {machine['file_system']}",
        "load before": " ".join(str(load) for load in machine["load_before"]),
        "versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    }
    return "\n".join(f"{name + ':':<13}{line}" for name, line in lines.items())


def warnings(machine, others, quick):
    if quick:
        yield "`--quick`: the runs are too short for these numbers to mean much"
    if machine["load_before"][0] > 0.2 * machine["cores"]:
        yield f"the machine was at work before, load average {machine['load_before'][0]}: expect noise"
    if others and others["others"] > 0.03:
        yield f"others used {others['others']:.0%} of the cores while this measured"
    if others and others["steal"] > 0.01:
        yield f"the host took away {others['steal']:.0%} of the cores' time"
    if machine["cores"] < 2:
        yield "one core: two ranks can gain nothing"
    if machine["file_system"] in ("tmpfs", "ramfs"):
        yield "target/ lies in memory: the figures of written results are not of a disk"


class Meter:
    """The share of all cores' time, since it was made, that others used."""

    def __init__(self):
        self.start, self.ours = cpu_times(), own_seconds()

    def share(self):
        """Of other programs, and of other guests of the host; None where the system does not tell.

        Programs only: what the kernel does meanwhile, such as writing our files to disk, may be for us.
        """
        if self.start is None:
            return None
        spent = [end - start for start, end in zip(self.start, cpu_times())]
        total = max(1, sum(spent))
        ours = (own_seconds() - self.ours) * os.sysconf("SC_CLK_TCK")
        return {"others": max(0.0, (spent[0] + spent[1] - ours) / total), "steal": spent[7] / total}

    def disturbed(self):
        share = self.share()
        return share["others"] + share["steal"] if share else 0.0


def cpu_times():
    """user, nice, system, idle, iowait, irq, softirq, steal: of all cores, in ticks."""
    try:
        return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError):
        return None


SERVERS = []  # processes of ours that run on; they and their children are none of the others


def own_seconds():
    """In user mode, of this program, of those it has waited for, and of its servers."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime for usage in usages) + sum(user_seconds(pid) for pid in SERVERS)


def user_seconds(pid):
    """Of a process and its children (proc(5))."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11]
    except OSError:
        return 0.0
    return int(ticks) / os.sysconf("SC_CLK_TCK") + sum(user_seconds(child) for child in children)
