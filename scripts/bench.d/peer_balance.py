"""Peers on a batch of Fibonacci terms, computed by GMP and not printed.

peer_balance.py alone FILE     one after the other; prints each one's seconds as a list
peer_balance.py futures FILE   mpi4py.futures, one by one; prints the seconds of all
peer_balance.py ppft FILE N    ppft with N workers; the same
peer_balance.py one N          one term
"""

import json
import sys
import time


def bits(n):
    import gmpy2

    return gmpy2.fib(n).bit_length()


def terms(path):
    with open(path) as file:
        return [int(line) for line in file]


def alone(path):
    seconds = []
    for n in terms(path):
        start = time.perf_counter()
        bits(n)
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


def futures(path):
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as executor:
        list(executor.map(bits, [0] * 8))  # the workers are there
        start = time.perf_counter()
        list(executor.map(bits, terms(path), unordered=True))
        print(time.perf_counter() - start)


def ppft(path, workers):
    import pp

    server = pp.Server(ncpus=workers, ppservers=())
    for job in [server.submit(bits, (0,)) for _ in range(4 * workers)]:
        job()  # the workers are there and know the function
    start = time.perf_counter()
    for job in [server.submit(bits, (n,)) for n in terms(path)]:
        job()
    print(time.perf_counter() - start)
    server.destroy()


if __name__ == "__main__":
    what, of, *workers = sys.argv[1:]
    if what == "one":
        bits(int(of))
    else:
        {"alone": alone, "futures": futures, "ppft": lambda path: ppft(path, int(workers[0]))}[what](of)
