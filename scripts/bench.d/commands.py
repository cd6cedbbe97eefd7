"""Commands a second: `true`, against GNU parallel, HyperQueue and a bare loop of posix_spawn(3)."""

import json
import os
import shutil
import time

from measure import Group, Row, fit
from runner import CORES, DidNotRun, command

BARE = f"bare posix_spawn loop, {CORES} threads"
PARALLEL = f"GNU parallel -j{CORES}"
HYPERQUEUE = f"HyperQueue, a worker of {CORES} cores"


def groups(bench):
    commands = Commands(bench)
    return [
        Group(
            "command",
            [
                lambda: {"ours": commands.ours(commands.tasks)},
                lambda: {BARE: commands.bare(commands.tasks)},
                lambda: {PARALLEL: commands.parallel(commands.tasks_of_parallel)},
                lambda: {HYPERQUEUE: commands.hyperqueue(commands.tasks_of_hyperqueue)},
            ],
            [
                Row("`true` as a command", "ours", PARALLEL, aim=5),
                Row("the same", "ours", HYPERQUEUE),
                Row("the same", "ours", BARE, aim=0.8),
            ],
            [commands.prepare],
        )
    ]


class Commands:
    def __init__(self, bench):
        self.bench, self.tasks, self.tasks_of_parallel, self.tasks_of_hyperqueue = bench, 0, 0, 0
        self.program = bench.folder / "spawn"

    def prepare(self):
        self.bench.find_programs({"parallel": "parallel"})
        versions = command(["parallel", "--version"], self.bench.env).splitlines()
        self.bench.versions["GNU parallel"] = versions[0].split()[-1]
        source = self.bench.scripts / "peer_spawn.c"
        command([os.environ.get("CC", "cc"), "-O2", "-pthread", "-o", self.program, source], self.bench.env)
        self.tasks, _ = fit(self.ours, self.bench.seconds, 500)
        self.tasks_of_parallel, _ = fit(self.parallel, self.bench.seconds, 100)
        self.bench.install(["hyperqueue>=0.27,<0.28"], self.venv())
        self.tasks_of_hyperqueue, _ = fit(self.hyperqueue, self.bench.seconds, 100)

    def venv(self):
        return self.bench.root / ".deps" / "bench-hyperqueue"

    def ours(self, tasks):
        text = f'[[task]]\nkind = "command"\nrun = "true"\nrange = "1..={tasks}"\n'
        job = self.bench.job("command", text)
        words = [self.bench.binary, "run", job, "--threads", CORES, "--output", "none", "--quiet"]
        stats = self.bench.folder / "command.json"
        command([*words, "--stats", stats], self.bench.env, cwd=self.bench.folder)
        found = json.loads(stats.read_text())
        if found["ok"] != tasks:
            raise DidNotRun(f"{found['ok']} of {tasks} commands are ok")
        return found["tasks_per_second"]

    def bare(self, tasks):
        return float(command([self.program, shutil.which("true"), tasks, CORES], self.bench.env))

    def parallel(self, tasks):
        numbers = self.bench.folder / "numbers"
        numbers.write_text("".join(f"{n}\n" for n in range(tasks)))
        start = time.perf_counter()
        command(["parallel", "--will-cite", f"-j{CORES}", "-a", numbers, "true"], self.bench.env)
        return tasks / (time.perf_counter() - start)

    def hyperqueue(self, tasks):
        words = [self.venv() / "bin" / "python", self.bench.scripts / "peer_hyperqueue.py", tasks, CORES]
        return tasks / float(command(words, self.bench.env))
