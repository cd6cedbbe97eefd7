"""A heavy-tailed batch: how much of what all cores could do at best each system makes of it.

Terms from 10 to 10^8 (Pareto), computed and not printed. At best, a batch takes as long as its
longest term, or as all its terms one after the other divided by the cores; each system's share is of its
own best, so that only the handing out is compared. Terms take longer where both cores work: that
is the machine's, and a row leaves it out. Ours counts from the first task handed out to
the last outcome, the peers from the first submission to the last result, GNU parallel with its
start.
"""

import json
import random
import time

from measure import TURNS, Group, Row, in_turn
from runner import CORES, DidNotRun, command

SMALLEST, LARGEST = 10, 10**8
NAMES = [
    f"mpi4py.futures, {CORES} workers, chunksize 1",
    f"ppft, {CORES} workers",
    f"GNU parallel -j{CORES}, a process a term",
    "a scatter in equal parts (ours, `static`)",
]
SAME_RUN = "ours, auto, by the same run"


def groups(bench):
    balance = Balance(bench)
    return [
        Group(
            "balance",
            [balance.round],
            [
                *(Row("heavy-tailed terms: share of the best possible", "ours, auto", name, "", aim=0.95, aim_for_ours=True) for name in NAMES),
                Row("the same, by what its terms took in the same run", SAME_RUN, unit="", aim=0.95, aim_for_ours=True),
            ],
            [balance.prepare],
        )
    ]


class Balance:
    def __init__(self, bench):
        self.bench = bench
        self.count = 60 if bench.seconds < 1 else 1500
        self.largest = LARGEST // 100 if bench.seconds < 1 else LARGEST
        self.terms = bench.folder / "balance.terms"

    def prepare(self):
        self.bench.find_programs({"parallel": "parallel"})
        self.terms.write_text("".join(f"{term}\n" for term in terms(self.count, self.largest)))
        self.bench.job("balance", '[[task]]\nkind = "fibonacci"\nn_from = "balance.terms"\nvalue = "none"\n')

    def round(self):
        """Each system's share; its best is by its own seconds a term."""
        best, auto, of_auto, static = in_turn(
            self.best_of_ours,
            lambda: self.ours(CORES, "auto"),
            self.best_of_the_last,
            lambda: self.ours(CORES, "static"),
        )
        of_gmp, futures, ppft = in_turn(self.best_of_peers, lambda: self.peer("futures"), lambda: self.peer("ppft"))
        parallel = TURNS * self.parallel()  # once: it takes a minute
        return {
            "ours, auto": best / auto,
            SAME_RUN: of_auto / auto,
            NAMES[0]: of_gmp / futures,
            NAMES[1]: of_gmp / ppft,
            NAMES[2]: of_gmp / parallel,
            NAMES[3]: best / static,
        }

    def best_of_ours(self):
        self.ours(1, "auto")
        return self.best_of_the_last()

    def best_of_the_last(self):
        records = (self.bench.folder / "balance.jsonl").read_text().splitlines()
        return best([json.loads(record)["seconds"] for record in records])

    def best_of_peers(self):
        return best(json.loads(self.python("alone")))

    def ours(self, ranks, schedule):
        words = ("run", "balance.toml", "--threads", 1, "--schedule", schedule, "--output", "balance.jsonl", "--overwrite")
        stats = self.bench.rankpool(ranks, *words, name="balance")
        if stats["ok"] != self.count:
            raise DidNotRun(f"{stats['ok']} of {self.count} terms are ok")
        return stats["wall_seconds"]

    def python(self, what):
        words = [self.bench.venv / "bin" / "python", self.bench.scripts / "peer_balance.py", what, self.terms]
        return command([*words, CORES], self.bench.env)

    def peer(self, what):
        if what == "ppft":
            return float(self.python(what))
        program = [self.bench.venv / "bin" / "python", "-m", "mpi4py.futures", self.bench.scripts / "peer_balance.py"]
        words = [self.bench.peer_mpirun, "-n", 1 + CORES, "--bind-to", "none", *program, what, self.terms]
        env = dict(self.bench.peer_env, OMPI_MCA_mpi_yield_when_idle="1")  # its manager polls
        return float(command(words, env))

    def parallel(self):
        program = [self.bench.venv / "bin" / "python", self.bench.scripts / "peer_balance.py", "one"]
        start = time.perf_counter()
        command(["parallel", "--will-cite", f"-j{CORES}", "-a", self.terms, *program], self.bench.env)
        return time.perf_counter() - start


def best(seconds):
    return max(sum(seconds) / CORES, max(seconds))


def terms(count, largest):
    """The same each time, in an order that knows nothing of their sizes; the largest is among them."""
    chance = random.Random(1)
    drawn = [min(largest, int(SMALLEST / (1 - chance.random()) ** (1 / 0.35))) for _ in range(count - 1)]
    drawn.insert(count // 2, largest)
    return drawn
