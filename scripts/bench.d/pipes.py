"""Tasks a second through a named pipe, how soon one that comes alone is done, and how soon a busy
job answers a command.

The writer writes short lines as fast as the pipe takes them. The count is that of the statistics,
from the start of the run to the last outcome gathered.
"""

import json
import os
import select
import struct
import subprocess
import threading
import time
from statistics import median

from measure import Group, Row
from runner import DidNotRun, started

LINES = 2_000_000
COMMANDS = 60
LONGEST = 20  # seconds that one of them may take


def groups(bench):
    return [stream(bench), answer(bench), control(bench)]


def lines(bench):
    return max(100_000, int(LINES * min(1.0, bench.seconds / 2.5)))


def stream(bench):
    fifo = bench.folder / "tasks.fifo"
    text = "".join(f"fib {n % 90}\n" for n in range(10_000)).encode()

    def run(kind):
        n, stats = lines(bench), bench.folder / "pipes.json"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo, 0o600)
        block = text if kind == "fib" else text.replace(b"fib ", b"probe ")

        def write():
            with open(fifo, "wb", buffering=0) as to:
                for _ in range(n // 10_000):
                    to.write(block)

        writer = threading.Thread(target=write)
        words = [bench.mpirun, "-n", "2", "--bind-to", "none", bench.binary, "run", "--tasks", fifo]
        words += ["--output", "none", "--value", "none", "--quiet", "--stats", stats]
        with started(words, bench.env, cwd=bench.folder) as process:
            writer.start()
            writer.join(120)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                raise DidNotRun("the run did not end") from None
        found = json.loads(stats.read_text())
        if found["ok"] != n // 10_000 * 10_000:
            raise DidNotRun(f"{found['ok']} of {n} lines became tasks that are ok")
        return found["tasks_per_second"]

    return Group(
        "stream",
        [lambda: {"lines, probe": run("probe")}, lambda: {"lines, fib": run("fib")}],
        [
            Row("short lines through a named pipe", "lines, probe", aim=500_000, aim_for_ours=True),
            Row("the same, each a small Fibonacci term", "lines, fib"),
        ],
    )


def answer(bench):
    """From a task's line in one pipe to its record in another, each written when the last was read."""
    tasks, results = bench.folder / "tasks.fifo", bench.folder / "results.fifo"

    def trip():
        for fifo in (tasks, results):
            fifo.unlink(missing_ok=True)
            os.mkfifo(fifo, 0o600)
        words = [bench.mpirun, "-n", "2", "--bind-to", "none", bench.binary, "run", "--tasks", tasks]
        words += ["--results", results, "--quiet"]
        trips = []
        # Both ends of each, so that nobody is waited for.
        with started(words, bench.env, cwd=bench.folder) as process, open(results, "r+b", 0) as records:
            with open(tasks, "r+b", 0) as to:
                for n in range(COMMANDS):
                    begun = time.perf_counter()
                    to.write(f"fib {n}\n".encode())
                    if not select.select([records], [], [], LONGEST)[0]:
                        raise DidNotRun(f"task {n + 1} has no record after {LONGEST} s")
                    records.read(1 << 16)
                    trips.append(time.perf_counter() - begun)
            process.wait(LONGEST)
        return {"trip": 1000 * median(trips)}

    return Group("answer", [trip], [Row("a task alone, from its line to its record", "trip", unit="ms")])


class Asker:
    """What `rankpool ctl` does, without the start of a process: one frame out, the answer in."""

    HEAD = struct.Struct("<2sBIIIH")

    def __init__(self, folder):
        self.reply = folder / f"reply-{os.getpid()}-bench"
        os.mkfifo(self.reply, 0o600)
        self.answers = os.open(self.reply, os.O_RDWR)
        self.requests = os.open(folder / "requests", os.O_WRONLY)

    def ask(self, *words):
        asked = json.dumps({"reply": self.reply.name, "words": words}).encode()
        os.write(self.requests, self.HEAD.pack(b"\xf5r", 1, os.getpid(), 0, 0, len(asked)) + asked)
        text, is_last = b"", False
        while not is_last:
            _, is_last, *_, length = self.HEAD.unpack(os.read(self.answers, self.HEAD.size))
            text += os.read(self.answers, length)
        answer = json.loads(text)
        if not answer["ok"]:
            raise DidNotRun(answer["text"])


def control(bench):
    """The round trip of a command, and the time of one `rankpool ctl`, its start included."""
    busy = '[[task]]\nkind = "probe"\naction = "busy"\ntime = "2ms"\ncount = 100000\n'

    def answers():
        job, folder = bench.job("controlled", busy), bench.folder / "ctl"
        words = [bench.mpirun, "-n", "2", "--bind-to", "none", bench.binary, "run", job]
        words += ["--output", "none", "--quiet", "--control", folder]
        ask = [bench.binary, "ctl", folder]
        with started(words, bench.env, cwd=bench.folder) as process:
            deadline = time.monotonic() + 20
            while subprocess.run([*ask, "status"], capture_output=True).returncode != 0:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise DidNotRun("the job cannot be controlled")
                time.sleep(0.05)
            asker, trips = Asker(folder), []
            for _ in range(COMMANDS):
                begun = time.perf_counter()
                asker.ask("status", "--json")
                trips.append(time.perf_counter() - begun)
                time.sleep(0.01)
            taken = []
            for _ in range(COMMANDS):
                begun = time.perf_counter()
                subprocess.run([*ask, "status"], check=True, capture_output=True)
                taken.append(time.perf_counter() - begun)
                time.sleep(0.01)
            alone = []
            for _ in range(COMMANDS):
                begun = time.perf_counter()
                subprocess.run([bench.binary, "--version"], check=True, capture_output=True)
                alone.append(time.perf_counter() - begun)
            subprocess.run([*ask, "stop"], check=True, capture_output=True)
            process.wait(60)
        trip = median(trips)
        return {"trip": 1000 * trip, "trips": 1 / trip, "ctl": 1000 * median(taken), "process": 1000 * median(alone)}

    return Group(
        "control",
        [answers],
        [
            Row("round trip of `status` to a busy 2-rank job", "trip", unit="ms"),
            Row("the same, one after another; 200 are 5 ms each", "trips", unit="a second", aim=200, aim_for_ours=True),
            Row("`ctl status` of a busy 2-rank job, with its process", "ctl", unit="ms"),
            Row("a process that says its version, beside that job", "process", unit="ms"),
        ],
    )
