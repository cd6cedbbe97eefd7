"""What a second rank gains on Fibonacci terms of very mixed size."""

import random
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from measure import Group, Row, fit, in_turn
from runner import DidNotRun

SMALLEST, LARGEST = 10_000, 2_000_000
SEPARATE = "two separate runs at once"


def groups(bench):
    return [
        Group(
            "speedup",
            [lambda: round_of(bench)],
            [
                Row("speedup, two ranks of one thread", "two ranks", SEPARATE, "x", aim=1.9, aim_for_ours=True),
                Row("speedup, one rank of two threads", "two threads", SEPARATE, "x"),
            ],
            [lambda: fit_job(bench)],
        )
    ]


def round_of(bench):
    """Speedups over one rank of one thread; what two runs that share nothing gain is the machine's own limit."""
    alone, two_ranks, two_threads, apart = in_turn(
        lambda: wall(bench, 1, 1),
        lambda: wall(bench, 2, 1),
        lambda: wall(bench, 1, 2),
        lambda: separate(bench),
    )
    return {"two ranks": alone / two_ranks, "two threads": alone / two_threads, SEPARATE: 2 * alone / apart}


def separate(bench):
    with ThreadPoolExecutor(2) as both:
        return mean(both.map(lambda name: wall(bench, 1, 1, name), ("first", "second")))


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
