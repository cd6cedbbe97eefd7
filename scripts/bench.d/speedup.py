"""What more cores gain on Fibonacci terms of very mixed size: two of them, and all."""

import random
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from measure import Group, Row, fit, in_turn
from runner import CORES, DidNotRun

SMALLEST, LARGEST = 10_000, 2_000_000
AIM = 1.9  # of two ranks


def groups(bench):
    return [Group("speedup", [lambda: round_of(bench)], [row for n in numbers() for row in rows(n)], [lambda: fit_job(bench)])]


def numbers():
    return sorted({2, CORES})


def rows(n):
    aim = {"aim": AIM, "aim_for_ours": True} if n == 2 else {}
    return [
        Row(f"speedup, {n} ranks of one thread", f"{n} ranks", separate_runs(n), "x", **aim),
        Row(f"speedup, one rank of {n} threads", f"{n} threads", separate_runs(n), "x"),
    ]


def separate_runs(n):
    return f"{n} separate runs at once"


def round_of(bench):
    """Speedups over one rank of one thread; what runs that share nothing gain is the machine's own limit."""
    found = {}
    for n in numbers():
        alone, ranks, threads, apart = in_turn(
            lambda: wall(bench, 1, 1),
            lambda: wall(bench, n, 1),
            lambda: wall(bench, 1, n),
            lambda: separate(bench, n),
        )
        found.update({f"{n} ranks": alone / ranks, f"{n} threads": alone / threads, separate_runs(n): n * alone / apart})
    return found


def separate(bench, n):
    with ThreadPoolExecutor(n) as at_once:
        return mean(at_once.map(lambda number: wall(bench, 1, 1, f"separate-{number}"), range(n)))


def wall(bench, ranks, threads, name="stats"):
    words = ("run", bench.folder / "speedup.toml", "--threads", threads, "--output", "none")
    stats = bench.rankpool(ranks, *words, name=name)
    if stats["ok"] != stats["tasks"]:
        raise DidNotRun(f"{stats['ok']} of {stats['tasks']} tasks are ok")
    return stats["wall_seconds"]


def fit_job(bench):
    def rate(count):
        write_job(bench, count)
        return count / wall(bench, 1, 1)

    count, _ = fit(rate, bench.seconds, 200)
    write_job(bench, count)


def write_job(bench, count):
    (bench.folder / "speedup.terms").write_text("".join(f"{term}\n" for term in terms(count)))
    bench.job("speedup", '[[task]]\nkind = "fibonacci"\nn_from = "speedup.terms"\nvalue = "summary"\n')


def terms(count):
    """Many small ones and few large ones (Pareto), the same each time."""
    chance = random.Random(1)
    return [min(LARGEST, int(SMALLEST / (1 - chance.random()) ** (1 / 0.7))) for _ in range(count)]
