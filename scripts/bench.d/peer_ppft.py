"""The peer ppft (Parallel Python): peer_ppft.py TASKS WORKERS

Prints the seconds from the first submission to the last result of no-op tasks.
"""

import sys
import time

import pp


def identity(n):
    return n


def main(tasks, workers):
    server = pp.Server(ncpus=workers, ppservers=())
    for job in [server.submit(identity, (n,)) for n in range(4 * workers)]:
        job()  # the workers are there and know the function
    start = time.perf_counter()
    for job in [server.submit(identity, (n,)) for n in range(tasks)]:
        job()
    print(time.perf_counter() - start)
    server.destroy()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
