"""Tasks a second, and what it costs to start and to wait.

Ours counts from the first task handed out to the last outcome on rank 0 (`tasks_per_second`), the
peers from the first submission to the last result: nobody's start is in it.
"""

import time
from statistics import median

from measure import Group, Row, fit
from processes import cpu_seconds, peak_memory
from runner import CORES, DidNotRun, command, say, started

MANY = 10_000_000
CHUNKS = [1, 10, 100, 1000, 10_000, 100_000]


def groups(bench):
    futures = Futures(bench)
    of_both = [unchunked(bench, futures), auto(bench, futures), written(bench, futures)]
    return [*of_both, many(bench), start_up(bench), waiting(bench)]


class Ours:
    """Tasks that give their input back."""

    def __init__(self, bench, name, schedule, output="none", ranks=2):
        self.bench, self.name, self.schedule, self.output, self.tasks = bench, name, schedule, output, 0
        self.ranks = ranks

    def prepare(self):
        self.tasks, _ = fit(lambda tasks: self.run(tasks)["tasks_per_second"], self.bench.seconds, 500_000)

    def run(self, tasks=None):
        tasks = tasks or self.tasks
        job = self.bench.job(self.name, f'[[task]]\nkind = "probe"\naction = "echo"\ncount = {tasks}\n')
        more = [] if self.output == "none" else ["--overwrite"]
        stats = self.bench.rankpool(self.ranks, "run", job, "--schedule", self.schedule, "--output", self.output, *more)
        if stats["ok"] != tasks:
            raise DidNotRun(f"{stats['ok']} of {tasks} tasks are ok")
        return stats


class Futures:
    """mpi4py.futures with the settings that suit it best here."""

    def __init__(self, bench):
        self.bench, self.found = bench, {}

    def rate(self, tasks, chunk, backoff, *path):
        return tasks / self.bench.futures(tasks, chunk, *path, backoff=backoff)

    def best(self, name, chunks):
        """Every setting once, the best three again; `backoff` 0 polls without a pause."""
        tried = []
        for chunk in chunks:
            for backoff in (None, 0):
                first = int(min(2500 * chunk, 2e6) * self.bench.seconds / 2)  # so that one try will do
                tasks, rate = fit(lambda n: self.rate(n, chunk, backoff), self.bench.seconds, first)
                tried.append((rate, tasks, chunk, backoff))
        tried = sorted(tried, key=lambda setting: setting[0], reverse=True)[:3]
        again = [(median(self.rate(*setting[1:]) for _ in range(3)), *setting[1:]) for setting in tried]
        rate, *self.found[name] = max(again, key=lambda setting: setting[0])
        say(f"mpi4py.futures, {name}: {rate:,.0f} tasks/s with {self.settings(name)}")
        self.bench.versions[f"mpi4py.futures {name}"] = self.settings(name)

    def settings(self, name):
        _, chunk, backoff = self.found[name]
        return f"chunksize {chunk}" + ("" if backoff is None else f", MPI4PY_FUTURES_BACKOFF={backoff}")

    def run(self, name, *path):
        return self.rate(*self.found[name], *path)


def unchunked(bench, futures):
    ours = Ours(bench, "unchunked", "dynamic,1")
    alone = Ours(bench, "unchunked-alone", "dynamic,1", ranks=1)
    ppft = {}

    def ppft_rate(tasks, workers):
        return tasks / bench.ppft(tasks, workers)

    def fit_ppft():
        for workers in (1, 2):
            ppft[workers], _ = fit(lambda tasks: ppft_rate(tasks, workers), bench.seconds, 500)

    one_by_one = "mpi4py.futures, chunksize 1"
    peers = {one_by_one: lambda: futures.run("unchunked")}
    peers["ppft, 1 worker"] = lambda: ppft_rate(ppft[1], 1)
    peers["ppft, 2 workers"] = lambda: ppft_rate(ppft[2], 2)
    return Group(
        "unchunked",
        [
            lambda: {"ours": ours.run()["tasks_per_second"]},
            lambda: {"alone": alone.run()["tasks_per_second"]},
            *(sampled(name, run) for name, run in peers.items()),
        ],
        [
            *(Row("no-op tasks one by one (`dynamic,1`)", "ours", name, aim=150) for name in peers),
            Row(f"the same, by one rank of {CORES} threads", "alone", one_by_one, aim=150),
        ],
        [ours.prepare, alone.prepare, lambda: futures.best("unchunked", [1]), fit_ppft],
    )


def sampled(name, run):
    return lambda: {name: run()}


def auto(bench, futures):
    ours = Ours(bench, "auto", "auto")
    peer = "mpi4py.futures, best chunksize"
    return Group(
        "auto",
        [lambda: {"ours": ours.run()["tasks_per_second"]}, sampled(peer, lambda: futures.run("chunked"))],
        [Row("no-op tasks in chunks (`auto`)", "ours", peer, aim=8)],
        [ours.prepare, lambda: futures.best("chunked", CHUNKS)],
    )


def written(bench, futures):
    results, copy = bench.folder / "written.jsonl", bench.folder / "copy.jsonl"
    ours = Ours(bench, "written", "auto", results)
    size = [0]

    def run_ours():
        stats = ours.run()
        size[0] = results.stat().st_size
        seconds = stats["tasks"] / stats["tasks_per_second"]
        results.unlink()
        return {"ours": stats["tasks_per_second"], "ours, bytes": size[0] / seconds}

    def run_futures():
        rate = futures.run("chunked", copy)
        copy.unlink()
        return {"mpi4py.futures + json.dumps": rate}

    def run_write():
        rate = write_speed(copy, size[0])
        copy.unlink()
        return {"write() alone": rate}

    return Group(
        "written",
        [run_ours, run_futures, run_write],
        [
            Row("all results on disk as JSON Lines", "ours", "mpi4py.futures + json.dumps", aim=1e6, aim_for_ours=True),
            Row("the same, in bytes", "ours, bytes", "write() alone", "B/s"),
        ],
        [ours.prepare, lambda: "chunked" in futures.found or futures.best("chunked", CHUNKS)],
    )


def write_speed(path, size):
    """Bytes a second of writing so many in blocks, as fast as this folder takes them."""
    block = b"x" * (1 << 20)
    start = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for _ in range(max(1, size // len(block))):
            file.write(block)
    return max(1, size // len(block)) * len(block) / (time.perf_counter() - start)


def many(bench):
    """Memory of a run of ten million tasks with results, beside one of a tenth of them."""
    results = bench.folder / "many.jsonl"
    tasks = MANY if bench.seconds >= 1 else MANY // 100

    def peak(tasks):
        job = bench.job("many", f'[[task]]\nkind = "probe"\naction = "echo"\ncount = {tasks}\n')
        words = [bench.mpirun, "-n", 2, "--bind-to", "none", bench.binary, "run", job, "--quiet", "--output", results]
        try:
            return peak_memory([*words, "--overwrite"], bench)
        finally:
            results.unlink(missing_ok=True)

    tenth = f"the same with {tasks // 10:,} tasks"
    what = f"memory of 2 ranks, {tasks:,} tasks with results"
    return Group(
        "many tasks",
        [lambda: {"ours": peak(tasks), tenth: peak(tasks // 10)}],
        [Row(what, "ours", tenth, "B", less_is_better=True, aim=0.8)],
    )


def start_up(bench):
    """What a run of one task takes beyond mpirun's own time."""

    def true():
        command([bench.mpirun, "-n", 2, "--bind-to", "none", "true"], bench.env)

    def peer_true():
        command([bench.peer_mpirun, "-n", 2, "--bind-to", "none", "true"], bench.peer_env)

    def ours():
        bench.mpirun_rankpool(2, "fib", "1", "--quiet", "--output", "none")

    def peer():
        bench.futures(1, 1)

    def init():
        words = [bench.peer_mpirun, "-n", 2, "--bind-to", "none", bench.venv / "bin" / "python", "-c"]
        command([*words, "from mpi4py import MPI"], bench.peer_env)

    def run():
        taken = {run: [] for run in (true, ours, peer_true, peer, init)}
        for _ in range(3):
            for run_one, seconds in taken.items():
                start = time.perf_counter()
                run_one()
                seconds.append(time.perf_counter() - start)
        alone, with_ours, peer_alone, with_peer, with_init = (median(seconds) for seconds in taken.values())
        peers = {"mpi4py.futures": with_peer - peer_alone, "mpi4py, no task: MPI_Init alone": with_init - peer_alone}
        return {"ours": with_ours - alone, "mpirun": alone, **peers}

    return Group(
        "start-up",
        [run],
        [
            Row("start and end, beyond `mpirun -n 2 true`", "ours", peer, "s", less_is_better=True)
            for peer in ("mpi4py.futures", "mpi4py, no task: MPI_Init alone")
        ],
        [ours, peer],
    )


def waiting(bench):
    """CPU seconds a second of three ranks, one of which has a task that sleeps."""
    job = bench.job("waiting", '[[task]]\nkind = "probe"\naction = "sleep"\ntime = "1h"\ncount = 1\n')
    ours = [bench.mpirun, "-n", 3, "--bind-to", "none", bench.binary, "run", job, "--quiet", "--output", "none"]
    peer = bench.futures_words(3, "sleep", 3600)
    return Group(
        "waiting",
        [
            lambda: {"ours": cpu_of_ranks(ours, bench, bench.env)},
            lambda: {"mpi4py.futures": cpu_of_ranks(peer, bench, bench.peer_env)},
        ],
        [Row("CPU of three ranks that wait", "ours", "mpi4py.futures", "CPU s/s", less_is_better=True)],
    )


def cpu_of_ranks(words, bench, env):
    with started(words, env, cwd=bench.folder) as process:
        time.sleep(2)  # they have started
        before, start = cpu_seconds(process.pid), time.perf_counter()
        time.sleep(max(1.5, bench.seconds))
        if process.poll() is not None:
            raise DidNotRun(f"a run that was to wait ended with exit code {process.returncode}")
        return (cpu_seconds(process.pid) - before) / (time.perf_counter() - start)
