"""Pages a second of a crawl, against wget2, Scrapy and a bare load generator, and how near to its
delay a polite crawl keeps.

All of them ask one nginx on loopback for the documentation that rustup brings, which counts the
requests (stub_status), and all keep 16 connections and no delay. Ours is one rank without mpirun,
robots.txt obeyed, links extracted, outcomes and the journal of URLs written; wget2 writes the
pages, Scrapy a line each. Times are whole runs, from the program's start to its end.
"""

import json
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import link
from measure import Group, Row
from nginx import PORT, Nginx
from processes import peak_memory
from runner import DidNotRun, command, say

CONNECTIONS = 16
RANKS = 2
ONE_AT_A_TIME = 1000
WGET2, SCRAPY, WRK, IDEAL, LIMIT = "wget2", "Scrapy", "wrk", "the rate that the delay allows", "300 MB"
ALONE = "a rank alone"
DEBIAN = {"nginx": "nginx-light", "wget2": "wget2", "wrk": "wrk"}
HOSTS, PAGES, DELAY = 200, 20, 0.5


def groups(bench):
    site = Site(bench)
    polite = Polite(bench, site)
    return [
        Group(
            "crawl",
            [site.ours, site.wget2, site.scrapy, site.wrk, site.memory, site.one_at_a_time],
            [
                Row("crawl of the Rust documentation", "ours", WGET2, "pages/s", aim=1.5),
                Row("CPU time a page", "ours, CPU", f"{WGET2}, CPU", "ms", less_is_better=True, aim=1),
                Row("the same crawl", "ours", SCRAPY, "pages/s", aim=100),
                Row("the same, of what nginx gives", "ours", WRK, "pages/s"),
                Row(f"memory of {RANKS} ranks together", "ours, MB", LIMIT, "MB", less_is_better=True, aim=1),
                Row(f"{RANKS} ranks, a page at a time", "ours, one at a time", ALONE, "pages/s"),
            ],
            [site.prepare],
        ),
        link.group(bench, site),
        Group(
            "polite crawl",
            [polite.ours],
            [Row(f"{HOSTS} hosts, {DELAY:g} s of delay", "ours", IDEAL, "pages/s", aim=0.95)],
            [polite.prepare],
        ),
    ]


class Site:
    """The documentation, crawled from its first page."""

    def __init__(self, bench):
        self.bench, self.nginx = bench, Nginx(bench)
        self.quick = bench.seconds < 1
        self.page = f"/{'book/' if self.quick else ''}index.html"
        self.start = f"http://127.0.0.1:{PORT}{self.page}"
        self.scope = "path" if self.quick else "host"
        self.scrapy_seconds = 5 if self.quick else 20
        self.pages = self.folder = None

    def prepare(self):
        self.bench.find_programs(DEBIAN)
        self.name_versions()
        sysroot = Path(command(["rustc", "--print", "sysroot"], self.bench.env).strip())
        self.folder = site = sysroot / "share" / "doc" / "rust" / "html"
        if not (site / "book" / "index.html").exists():
            raise DidNotRun(f"{site} is not there (`rustup component add rust-docs`)")
        web = self.bench.folder / "web"
        shutil.rmtree(web, ignore_errors=True)
        write_web(web)
        self.nginx.start(site, web)
        self.bench.install(["scrapy>=2.13,<3"], self.venv())
        self.bench.versions["Scrapy"] = command([self.venv() / "bin" / "scrapy", "version"], self.bench.env).split()[-1]
        self.ours()  # the file cache is warm for everybody
        say(f"crawl: {self.pages:,} pages")

    def name_versions(self):
        versions, env = self.bench.versions, self.bench.env
        versions["wget2"] = command(["wget2", "--version"], env).split()[2]
        nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False)
        versions["nginx"] = nginx.stderr.strip().split("/")[-1]

    def venv(self):
        return self.bench.root / ".deps" / "bench-crawl"

    def counted(self, words, **options):
        """Requests, seconds and CPU seconds of a command."""
        before, used, start = self.nginx.requests(), children(), time.perf_counter()
        out = command(words, self.bench.env, cwd=self.bench.folder, **options)
        took, used = time.perf_counter() - start, children() - used
        requests = self.nginx.requests() - before - 1
        if requests < 100:
            raise DidNotRun(f"{Path(str(words[0])).name} asked for {requests} pages only: {out[-200:]}")
        return requests, took, used

    def crawl_words(self, start=None):
        flags = ["--quiet", "--stats", "crawl.json", *self.flags(CONNECTIONS, "crawl.jsonl")]
        return [self.bench.binary, "crawl", start or self.start, *flags]

    def flags(self, connections, output):
        manners = ["--scope", self.scope, "--delay", "0s", "--per-host", connections, "--allow-private", "--anonymous"]
        return [*manners, "--io-threads", connections, "--output", output, "--overwrite"]

    def ours(self):
        requests, took, used = self.counted(self.crawl_words())
        stats = json.loads((self.bench.folder / "crawl.json").read_text())
        account = stats["sources"][0]
        if stats["failed"] or account["open"]:
            raise DidNotRun(f"{stats['failed']} pages failed, {account['open']} are left")
        if self.pages not in (None, requests):
            raise DidNotRun(f"{requests} pages now, {self.pages} before")
        self.pages = requests
        return {"ours": requests / took, "ours, CPU": used / requests * 1e3}

    def wget2(self):
        folder = self.bench.folder / "wget2"
        words = ["wget2", "--recursive", "--level=0", f"--max-threads={CONNECTIONS}", "--quiet", "--no-config"]
        scope = ["--no-parent"] if self.quick else []
        try:
            # What it has not found (links to nowhere) makes its exit code 8.
            shell = ["bash", "-c", '"$@"; code=$?; [ $code = 8 ] || exit $code', "wget2"]
            requests, took, used = self.counted([*shell, *words, *scope, f"--directory-prefix={folder}", self.start])
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return {WGET2: requests / took, f"{WGET2}, CPU": used / requests * 1e3}

    def scrapy(self):
        """For so many seconds only: it is that slow."""
        words = [self.venv() / "bin" / "scrapy", "runspider", self.bench.scripts / "peer_scrapy.py"]
        settings = {"CONCURRENT_REQUESTS": CONNECTIONS, "CONCURRENT_REQUESTS_PER_DOMAIN": CONNECTIONS}
        settings["CLOSESPIDER_TIMEOUT"] = self.scrapy_seconds
        flags = [flag for name, value in settings.items() for flag in ("-s", f"{name}={value}")]
        requests, took, _ = self.counted([*words, "-a", f"start={self.start}", *flags, "-O", "scrapy.jsonl"])
        return {SCRAPY: requests / took}

    def wrk(self):
        """The same pages in turn, nothing done with them."""
        urls = self.bench.folder / "urls.txt"
        with open(self.bench.folder / "crawl.jsonl", encoding="utf-8") as records:
            paths = [json.loads(line)["input"]["url"].split(f":{PORT}", 1)[1] for line in records]
        urls.write_text("\n".join(paths) + "\n")
        script = self.bench.folder / "wrk.lua"
        script.write_text(
            "local paths, at = {}, 0\n"
            # Not before `init`, which knows the host: nginx refuses a request without one.
            f"init = function() for line in io.lines('{urls}') do paths[#paths + 1] = wrk.format('GET', line) end end\n"
            "request = function() at = at % #paths + 1; return paths[at] end\n"
        )
        out = command(self.wrk_words(f"127.0.0.1:{PORT}"), self.bench.env)
        if "Non-2xx" in out:
            raise DidNotRun(f"nginx refuses what wrk asks for: {out[-200:]}")
        return {WRK: float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))}

    def wrk_words(self, server):
        seconds = max(2, round(2 * self.bench.seconds))
        script = self.bench.folder / "wrk.lua"
        return ["wrk", "-t", 2, "-c", CONNECTIONS, "-d", f"{seconds}s", "-s", script, f"http://{server}/"]

    def memory(self):
        """The most that all ranks had, each at its own peak."""
        words = [self.bench.mpirun, "-n", RANKS, "--bind-to", "none", *self.crawl_words()]
        return {"ours, MB": peak_memory(words, self.bench) / 1e6, LIMIT: 300}

    def one_at_a_time(self):
        """What it takes to hand a page out and to hear of it: each waits for the one before."""

        def rate(ranks):
            most = ["--max-pages", ONE_AT_A_TIME]
            stats = self.bench.rankpool(ranks, "crawl", self.start, *self.flags(1, "one.jsonl"), *most)
            return stats["ok"] / stats["wall_seconds"]

        return {"ours, one at a time": rate(RANKS), ALONE: rate(1)}


class Polite:
    """Many small hosts at addresses of their own, asked with a pause between."""

    def __init__(self, bench, site):
        self.bench, self.site = bench, site
        self.pages = 6 if site.quick else PAGES

    def prepare(self):
        if Nginx.process is None:
            raise DidNotRun("there is no nginx")
        hosts = {f"host{n}.test": f"127.1.{n // 250}.{n % 250 + 1}" for n in range(HOSTS)}
        seeds = [f"http://{host}:{PORT + 1}/{self.pages}.html" for host in hosts]
        pairs = ", ".join(f'"{host}" = "{address}"' for host, address in hosts.items())
        self.bench.job(
            "polite",
            f'io_threads = {HOSTS}\n[[task]]\nkind = "crawl"\nseeds = {json.dumps(seeds)}\nanonymous = true\n'
            f'allow_private = true\ndelay = "{DELAY * 1e3:.0f}ms"\nresolve = {{ {pairs} }}\n',
        )

    def ours(self):
        stats = self.bench.rankpool(RANKS, "run", "polite.toml", "--output", "polite.jsonl", "--overwrite")
        hosts = stats["sources"][0]["hosts"]
        fetched = sum(host["pages"] for host in hosts.values())
        if len(hosts) != HOSTS or fetched != HOSTS * (self.pages + 1) or stats["failed"]:
            raise DidNotRun(f"{fetched} pages of {len(hosts)} hosts, {stats['failed']} failed")
        shortest = min(host["shortest_gap"] for host in hosts.values())
        if shortest < DELAY:
            raise DidNotRun(f"two fetches of a host were {shortest} s apart")
        # Each host: its robots.txt, then its pages, with a pause before each page.
        ideal = fetched / ((self.pages + 1) * DELAY)
        return {"ours": fetched / stats["wall_seconds"], IDEAL: ideal}


def write_web(folder):
    """The same pages for every host: `N.html` links to `1.html` up to itself."""
    folder.mkdir(parents=True)
    for pages in range(PAGES + 1):
        links = "".join(f"<a href={n}.html>{n}</a>\n" for n in range(pages))
        (folder / f"{pages}.html").write_text(f"<title>{pages}</title>\n{links}")


def children():
    """CPU seconds of everything that this program has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
