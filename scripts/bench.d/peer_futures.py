"""The peer mpi4py.futures; run under `mpiexec -n 2 python -m mpi4py.futures`.

peer_futures.py TASKS CHUNKSIZE [FILE]    no-op tasks; FILE: write each result as a line of JSON
peer_futures.py sleep SECONDS             one task that waits

Prints the seconds from the first submission to the last result.
"""

import collections
import json
import sys
import time

from mpi4py.futures import MPIPoolExecutor


def identity(n):
    return n


def drop(results):
    collections.deque(results, maxlen=0)


def write(results, path):
    with open(path, "w") as file:
        for n, result in enumerate(results):
            record = {"kind": "identity", "input": {"n": n}, "status": "ok", "output": {"n": result}}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def main(tasks, chunksize, *path):
    with MPIPoolExecutor() as executor:
        executor.submit(identity, 0).result()  # the workers are there
        start = time.perf_counter()
        if tasks == "sleep":
            executor.submit(time.sleep, float(chunksize)).result()
        else:
            results = executor.map(identity, range(int(tasks)), chunksize=int(chunksize))
            write(results, *path) if path else drop(results)
        print(time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
