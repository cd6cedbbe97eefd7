"""The peer HyperQueue: peer_hyperqueue.py TASKS CORES

Prints the seconds from the submission of so many `true` to the end of the last, on a server and a
worker that are up. The client looks once a second only, so a last task tells by a file.
"""

import contextlib
import os
import sys
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def main(tasks, cores):
    with tempfile.TemporaryDirectory() as folder, quiet(), LocalCluster(server_dir=folder) as cluster:
        cluster.start_worker(WorkerConfig(cores=cores))
        client = cluster.client()
        run(client, cores, os.path.join(folder, "warm"))
        seconds = run(client, tasks, os.path.join(folder, "done"))
    print(seconds)


def run(client, tasks, done):
    job = Job(default_workdir=os.path.dirname(done))
    for _ in range(tasks):
        job.program(["true"], stdout=None, stderr=None)
    job.program(["touch", done], stdout=None, stderr=None, priority=-1)
    start = time.perf_counter()
    submitted = client.submit(job)
    while not os.path.exists(done):
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    client.wait_for_jobs([submitted])  # raises where one has failed
    return seconds


@contextlib.contextmanager
def quiet():
    """The server tells of itself on standard output, below Python."""
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(own, 1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
