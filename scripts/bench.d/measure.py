"""Contestants in turn, and rows from their samples."""

from dataclasses import dataclass, field
from statistics import median
from typing import Callable, Optional

from machine import Meter
from runner import DidNotRun, say

TRIES = 3
TURNS = 3
DISTURBED = 0.08  # of the cores' time; ticks are not exact to more than a few per cent


@dataclass
class Row:
    """One line of the table: what is compared, and the aim."""

    what: str
    ours: str  # the name of the samples
    peer: Optional[str] = None
    unit: str = "tasks/s"
    less_is_better: bool = False
    aim: Optional[float] = None  # for the ratio, or for ours where `aim_for_ours`
    aim_for_ours: bool = False

    def filled(self, samples):
        ours, peer = samples.get(self.ours), samples.get(self.peer) if self.peer else None
        if not ours or (self.peer and not peer):
            return None
        row = {"what": self.what, "unit": self.unit, "ours": median(ours), "peer": None, "peer_name": self.peer}
        row.update(ratio=None, spread=[min(ours), max(ours)], samples={self.ours: ours})
        if peer:
            ratios = [self.ratio(*pair) for pair in zip(ours, peer)]
            row.update(peer=median(peer), ratio=self.ratio(median(ours), median(peer)))
            row["spread"] = [min(ratios), max(ratios)]
            row["samples"][self.peer] = peer
        row.update(aim=self.aim, aim_for_ours=self.aim_for_ours)
        if self.aim is not None:
            row["met"] = (row["ours"] if self.aim_for_ours else row["ratio"]) >= self.aim
        return row

    def ratio(self, ours, peer):
        """How many times better ours is."""
        above, below = (peer, ours) if self.less_is_better else (ours, peer)
        return above / below if below > 0 else float("inf")


@dataclass
class Group:
    """What runs in turn. A contestant returns one or several samples by name."""

    name: str
    contestants: list[Callable[[], dict]]
    rows: list[Row]
    warm_up: list[Callable[[], object]] = field(default_factory=list)


def measure(groups, bench):
    """The rows, what did not run, and how many samples were disturbed."""
    rows, failures, disturbed = [], [], 0
    for group in groups:
        samples = {}
        try:
            say(f"{group.name}: trying sizes")
            for run in group.warm_up:
                run()
        except DidNotRun as error:
            failures.append(f"{group.name}: {error}")
            continue
        broken = set()
        for number in range(1, bench.runs + 1):
            say(f"{group.name}: round {number} of {bench.runs}")
            for contestant in group.contestants:
                if contestant not in broken:
                    try:
                        found, others = least_disturbed(contestant)
                        disturbed += others > DISTURBED
                        for name, value in found.items():
                            samples.setdefault(name, []).append(value)
                    except DidNotRun as error:
                        broken.add(contestant)
                        failures.append(f"{group.name}: {error}")
        rows += [row for row in (row.filled(samples) for row in group.rows) if row]
    return rows, failures, disturbed


def least_disturbed(contestant):
    """Its samples and the share of the cores that others had; tried again while that is much."""
    tries = []
    for _ in range(TRIES):
        meter = Meter()
        tries.append((contestant(), meter.disturbed()))
        if tries[-1][1] <= DISTURBED:
            break
    return min(tries, key=lambda found: found[1])


def in_turn(*runs):
    """Each run's seconds, summed up over a few turns.

    A virtual machine's cores are faster in one second than in the next, and single runs that belong together
    would meet it in different moods.
    """
    return [sum(times) for times in zip(*([run() for run in runs] for _ in range(TURNS)))]


def fit(rate_of, seconds, first):
    """How many tasks take about so long, found by running more and more of them."""
    tasks = first
    while True:
        rate = rate_of(tasks)
        if tasks / rate >= seconds / 4:
            return rounded(rate * seconds), rate
        tasks = rounded(max(2 * tasks, min(16 * tasks, rate * seconds / 2)))


def rounded(number):
    """To two digits."""
    return max(1, int(float(f"{number:.1e}")))
