"""Fibonacci: a huge term in decimal against GMP and FLINT, a larger one's time and memory, and small ones."""

import json
import os

from measure import Group, Row
from runner import DidNotRun, command, shown, started

GMP = "GMP (gmpy2), one thread"
FLINT = "FLINT's radix 10^19 (python-flint, no AVX2), one thread"
OWN_FLINT = ["FLINT's radix 10^19 (--flint), one thread", "FLINT's radix 10^19 (--flint), two threads"]
SMALLEST, LARGEST = 10**6, 10**8  # with --quick, and without
MEMORY = 12e9
AIMS = {"the aim, 100 ns": 1e-7, "the aim, 5 us": 5e-6}


def groups(bench):
    quick = bench.seconds < 1
    huge, larger = (SMALLEST, 10 * SMALLEST) if quick else (LARGEST, 10 * LARGEST)
    return [decimal(bench, huge), larger_term(bench, larger), small(bench)]


def decimal(bench, n):
    """Seconds that the task itself took, of ours; of the peers, the term and its conversion."""

    def ours(threads):
        return term(bench, n, threads, "summary")["seconds"]

    def peer(script, *arguments):
        python = bench.venv / "bin" / "python"
        words = [python, bench.scripts / script, n, *arguments]
        seconds, digits, first, last = command(words, bench.env).split()
        output = term(bench, n, 2, "summary")["output"]
        if (output["digits"], output["first"], output["last"]) != (int(digits), first, last):
            raise DidNotRun(f"F({n}) of {script} differs from ours")
        return float(seconds)

    def own_flint():
        return {name: peer("peer_flint.py", 1 + idx, bench.flint) for idx, name in enumerate(OWN_FLINT)}

    return Group(
        "decimal",
        [
            lambda: {"one": ours(1), "two": ours(2)},
            lambda: {GMP: peer("peer_gmp.py")},
            lambda: {FLINT: peer("peer_flint.py", 1)},
            *([own_flint] if bench.flint else []),
        ],
        [
            Row(f"F({n:.0e}) in decimal, one thread", "one", GMP, "s", less_is_better=True, aim=10),
            Row("the same, two threads", "two", GMP, "s", less_is_better=True, aim=10),
            Row(f"F({n:.0e}) in decimal, one thread", "one", FLINT, "s", less_is_better=True),
            Row("the same", "one", OWN_FLINT[0], "s", less_is_better=True),
            Row("the same, two threads", "two", OWN_FLINT[1], "s", less_is_better=True),
        ],
    )


def larger_term(bench, n):
    limit = f"the aim, {MEMORY / 1e9:.0f} GB"

    def ours():
        record, memory = term(bench, n, 2, "full", measured=True)
        return {"seconds": record["seconds"], "memory": memory, limit: MEMORY}

    return Group(
        "larger",
        [ours],
        [
            Row(f"F({n:.0e}) with all digits into the results, two threads", "seconds", unit="s"),
            Row("the same, peak of the process's memory", "memory", limit, "B", less_is_better=True, aim=1),
        ],
    )


def small(bench):
    names = ["small terms, summary", "small terms, full", "odd modulus at 2^63", "even modulus at 2^63"]

    def ours():
        text = command(["cargo", "bench", "--quiet", "--locked", "--bench", "fibonacci"], bench.env, None, cwd=bench.root)
        found = dict(line.split(": ") for line in text.splitlines() if ": " in line)
        if set(names) - set(found):
            raise DidNotRun(f"`cargo bench --bench fibonacci` printed {text!r}")
        return {**{name: float(found[name]) for name in names}, **AIMS}

    fast, slow = AIMS
    options = {"unit": "s", "less_is_better": True, "aim": 1}
    return Group(
        "small",
        [ours],
        [Row(f"a task, n up to 1000: {name}", name, fast, **options) for name in names[:2]]
        + [Row(f"a task: {name}", name, slow, **options) for name in names[2:]],
    )


def term(bench, n, threads, value, measured=False):
    """Its record without the digits; with the peak of the process's memory where measured."""
    results = bench.folder / "fib.jsonl"
    job = bench.job("fib", f'[[task]]\nkind = "fibonacci"\nn = {n}\nvalue = "{value}"\n')
    words = [bench.binary, "run", job, "--threads", threads, "--output", results, "--overwrite", "--quiet"]
    with started(words, bench.env, cwd=bench.folder) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        error = process.stderr.read()
    if process.returncode != 0:
        raise DidNotRun(f"{shown(words)}: exit code {process.returncode}: {error}")
    record = json.loads(results.read_bytes())
    results.unlink()
    record["output"].pop("value", None)
    return (record, usage.ru_maxrss * 1024) if measured else record
