"""Sets up rankpool and its peers, and runs them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ["gmpy2>=2.2,<3", "mpi4py>=4.1,<5", "ppft>=1.7.8,<2", "python-flint>=0.9,<0.10"]
OWN_MPI = "openmpi>=5.0.11,<6"
CORES = max(2, len(os.sched_getaffinity(0)))
TIME_LIMIT = 300  # seconds; nothing here takes a tenth of it


class DidNotRun(Exception):
    """Something that was to be measured did not run, and why."""


def prepare(root, seconds, runs, flint):
    say("setting up and building")
    command([root / "scripts" / "setup"], os.environ, limit=None)
    text = command(["bash", "-c", '. "$0" && env -0', root / "scripts" / "env"], os.environ)
    env = dict(line.split("=", 1) for line in text.split("\0") if line)
    env.update(OMPI_MCA_rmaps_base_oversubscribe="1", PRTE_MCA_rmaps_default_mapping_policy=":oversubscribe")
    command(["cargo", "build", "--release", "--locked", "--quiet"], env, cwd=root, limit=None)
    bench = Bench(root, env, seconds, runs, flint)
    bench.find_peers()
    return bench


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def command(words, env, limit=TIME_LIMIT, **options):
    """Runs a command; what it prints."""
    with started(words, env, **options) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise DidNotRun(f"{shown(words)}: not done after {limit} s") from None
    if process.returncode != 0:
        last = " / ".join((err or out).strip().splitlines()[-4:])
        raise DidNotRun(f"{shown(words)}: exit code {process.returncode}: {last}")
    return out


@contextmanager
def started(words, env, **options):
    """A command that runs meanwhile. Whatever it started ends with it."""
    process = subprocess.Popen(
        [str(word) for word in words], env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options,
    )
    try:
        yield process
    finally:
        stop(process)
        process.stdout.close()
        process.stderr.close()


def stop(process):
    """Ends a process that still runs: mpirun needs a SIGTERM and a moment to end its ranks."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, signum)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass


def shown(words):
    return "`" + " ".join(Path(word).name if os.path.isabs(word) else str(word) for word in words) + "`"


class Bench:
    """What is set up, and how long to measure; `flint` is a library beside python-flint's, if any."""

    def __init__(self, root, env, seconds, runs, flint):
        self.root, self.env, self.seconds, self.runs = root, env, seconds, runs
        self.flint = flint and Path(flint).absolute()
        self.folder = root / "target" / "bench"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = root / "target" / "release" / "rankpool"
        self.mpirun = root / ".deps" / "bin" / "mpirun"
        self.venv = root / ".deps" / "bench"
        self.peer_mpirun, self.peer_env = self.mpirun, env
        self.scripts = Path(__file__).parent
        self.versions = {"rankpool": command([self.binary, "--version"], env).split()[-1]}

    # ours

    def rankpool(self, ranks, *arguments, name="stats"):
        """The statistics of a run."""
        stats = self.folder / f"{name}.json"
        self.mpirun_rankpool(ranks, *arguments, "--quiet", "--stats", stats)
        return json.loads(stats.read_text())

    def mpirun_rankpool(self, ranks, *arguments):
        words = [self.mpirun, "-n", ranks, "--bind-to", "none", self.binary, *arguments]
        with tempfile.TemporaryDirectory(prefix="rp") as own:  # two mpiruns of Open MPI 4 at once are to share nothing
            command(words, dict(self.env, TMPDIR=own), cwd=self.folder)

    def job(self, name, text):
        """Writes a job file."""
        path = self.folder / f"{name}.toml"
        path.write_text(text)
        return path

    # the peers

    def futures_words(self, ranks, *arguments):
        python = [self.venv / "bin" / "python", "-m", "mpi4py.futures", self.scripts / "peer_futures.py"]
        return [self.peer_mpirun, "-n", ranks, "--bind-to", "none", *python, *arguments]

    def futures(self, *arguments, backoff=None):
        env = dict(self.peer_env)
        if backoff is not None:
            env["MPI4PY_FUTURES_BACKOFF"] = str(backoff)
        return float(command(self.futures_words(2, *arguments), env, cwd=self.folder))

    def ppft(self, tasks, workers):
        words = [self.venv / "bin" / "python", self.scripts / "peer_ppft.py", tasks, workers]
        return float(command(words, self.env, cwd=self.folder))

    def find_peers(self):
        self.install(PACKAGES)
        if not self.sees_two(self.mpirun, self.env):
            library = libmpi(self.binary, self.env)
            self.peer_env = dict(self.env, LD_LIBRARY_PATH=f"{library}:{self.env.get('LD_LIBRARY_PATH', '')}")
        if not self.sees_two(self.peer_mpirun, self.peer_env):
            say("mpi4py does not work with rankpool's MPI and gets one of its own")
            self.install([*PACKAGES, OWN_MPI])
            self.peer_mpirun, self.peer_env = self.venv / "bin" / "mpirun", self.env
            if not self.sees_two(self.peer_mpirun, self.peer_env):
                raise DidNotRun("mpi4py works neither with rankpool's MPI nor with its own")
        self.versions["MPI"] = self.mpi_version(self.mpirun)
        if self.peer_mpirun != self.mpirun:
            self.versions["mpi4py's MPI"] = self.mpi_version(self.peer_mpirun)
        text = "import sys, mpi4py, ppft; print(mpi4py.__version__, ppft.__version__, sys.version.split()[0])"
        versions = command([self.venv / "bin" / "python", "-c", text], self.env).split()
        self.versions.update(zip(("mpi4py", "ppft", "Python"), versions))

    def install(self, packages, venv=None):
        """A private environment, made anew unless it holds the packages."""
        venv = venv or self.venv
        marker, wanted = venv / "complete", "\n".join(packages)
        if marker.exists() and wanted in marker.read_text():
            return
        say(f"getting {', '.join(packages)} from PyPI into .deps/{venv.name}")
        python = venv / "bin" / "python"
        pip = [python, "-m", "pip"]
        try:
            command([sys.executable, "-m", "venv", "--clear", venv], os.environ)
        except DidNotRun as error:  # Debian without python3-venv: scripts/setup may have got a pip
            wheels = list(self.root.glob(".deps/debian/usr/share/python-wheels/pip-*.whl"))
            if not wheels:
                raise DidNotRun(f"{error}; on Debian `apt install python3-venv`") from None
            command([sys.executable, "-m", "venv", "--clear", "--without-pip", venv], os.environ)
            pip = [python, wheels[0] / "pip"]
        words = [*pip, "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", *packages]
        command(words, os.environ, limit=None)
        marker.write_text(wanted)

    def find_programs(self, packages):
        """Programs by the Debian package that has each; root gets what is missing."""
        missing = {name: package for name, package in packages.items() if not program(name)}
        if missing and os.geteuid() == 0 and shutil.which("apt-get"):
            say(f"getting {', '.join(missing.values())} from Debian")
            env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
            command(["apt-get", "update", "-qq"], env)
            command(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing.values()], env)
            missing = {name: package for name, package in packages.items() if not program(name)}
        if missing:
            raise DidNotRun(f"{', '.join(missing)} missing (Debian: `apt install {' '.join(missing.values())}`)")

    def sees_two(self, mpirun, env):
        """Whether two ranks of mpi4py are one world."""
        text = "from mpi4py import MPI; print(MPI.COMM_WORLD.size)"
        try:
            return command([mpirun, "-n", 2, self.venv / "bin" / "python", "-c", text], env).split() == ["2", "2"]
        except DidNotRun:
            return False

    def mpi_version(self, mpirun):
        lines = command([mpirun, "--version"], self.env).splitlines()
        for line in lines:
            if "(Open MPI)" in line:
                return "Open MPI " + line.split()[-1]
            if line.strip().startswith("Version:"):
                return "MPICH " + line.split()[-1]
        return lines[0] if lines else "unknown"


def program(name):
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def libmpi(binary, env):
    """The folder of the MPI that rankpool is linked with."""
    for line in command(["ldd", binary], env).splitlines():
        if "libmpi" in line and "=>" in line:
            return Path(line.split("=>")[1].split("(")[0].strip()).parent
    raise DidNotRun("rankpool is not linked with a libmpi")
