#!/usr/bin/env python3
"""Tallystick, PostgreSQL and Redis on the same machine, in the same run, doing equivalent work, each durable.

What must stay true: nothing outside a temporary folder is written and every process started here is ended, however the
run ends; every system checks its own books after the load; a figure without its conditions is not printed.

Needs Python 3.10 or newer, nothing from outside its library. Missing servers are installed with apt-get.
"""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SYNC_PROBES = 200

# What each system does for one basket, and what it leaves out. Printed with every run.
WORK = {
    "Tallystick": {
        "does": "id and receipt once for ever; programme rules; caps; budgets; lot; metrics; explained decision; hash-"
        "chained journal record; answer after the sync; gRPC with the whole basket",
        "does not": "have a thin client: its load generator encodes and decodes protobuf on the same cores",
    },
    "PostgreSQL": {
        "does": "id and receipt once for ever (two unique indexes); multiplier by category; a cap per account and day; "
        "balance; journal row; answer after the sync",
        "does not": "chain hashes, explain lines, take budgets or several lines; the batches are made in the server and "
        "cost no transfer",
    },
    "Redis": {
        "does": "id and receipt once while they fit in memory; multiplier by category; a cap per account and day; balance; "
        "journal entry; answer after the sync of the append-only file",
        "does not": "keep ids on disk (all of it lives in memory); chain hashes, explain lines, take budgets or several "
        "lines; roll back a script that fails half way; rewrite its file meanwhile (switched off)",
    },
}


class Trouble(Exception):
    """Something that ends the run, in a sentence."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, **options):
    """Runs a command to its end and returns its standard output."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **options
    )
    if done.returncode != 0:
        raise Trouble(f"{command[0]} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def unused_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what, is_so, seconds_max=60):
    end = time.monotonic() + seconds_max
    while not is_so():
        if time.monotonic() > end:
            raise Trouble(f"{what} did not happen within {seconds_max} s")
        time.sleep(0.05)


def install(packages):
    """Installs Debian packages without starting their services."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Trouble(f"these Debian packages are missing: {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    # RUNLEVEL=1 keeps the packages from starting servers of their own.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run(["apt-get", "update"], env=quiet)
    run(["apt-get", "install", "-y", "--no-install-recommends", *packages], env=quiet)


def stop(process):
    """Ends one process that was started here."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def percentile(ascending, share):
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


def probe_sync(folder):
    """The median time of appending 4 KiB and syncing, in microseconds: what every durable answer waits for."""
    path, times = folder / "sync-probe", []
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for _ in range(SYNC_PROBES):
        begun = time.perf_counter_ns()
        os.write(file, bytes(4096))
        os.fdatasync(file)
        times.append((time.perf_counter_ns() - begun) // 1000)
    os.close(file)
    path.unlink()
    return int(statistics.median(times))


def result(name, kind, clients, batch, ops_per_second, p50_us, p99_us):
    return {
        "name": name,
        "kind": kind,
        "clients": clients,
        "batch": batch,
        "ops_per_second": round(ops_per_second),
        "p50_us": round(p50_us) if p50_us is not None else None,
        "p99_us": round(p99_us) if p99_us is not None else None,
        "durable": True,
    }


class Postgres:
    """A cluster of its own in a temporary folder."""

    system = "PostgreSQL"

    def __init__(self, options, folder):
        self.options = options
        self.home = folder / "postgres"
        self.home.mkdir()
        self.bin = self.find()
        self.version = run([self.bin / "postgres", "--version"]).strip()
        # The server refuses to run as root.
        self.prefix = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.home, owner.pw_uid, owner.pw_gid)
            self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.port = unused_port()
        self.process = None

    @staticmethod
    def find():
        def newest():
            found = [path for path in pathlib.Path("/usr/lib/postgresql").glob("*/bin") if (path / "pgbench").exists()]
            wanted = [path for path in found if path.parent.name == "15"]
            return max(wanted or found, key=lambda path: int(path.parent.name), default=None)

        if newest() is None:
            has_15 = "Candidate" in run(["apt-cache", "policy", "postgresql-15"])
            install(["postgresql-15"] if has_15 else ["postgresql"])
        found = newest()
        if found is None:
            raise Trouble("PostgreSQL was installed, but is not in /usr/lib/postgresql")
        return found

    def start(self):
        data = self.home / "data"
        initdb = [self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        run([*self.prefix, *initdb], cwd=self.home)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.home,
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "shared_buffers": "1GB",
            "max_wal_size": "8GB",
            "max_connections": self.options.clients + 20,
        }
        self.settings = {name: str(value) for name, value in settings.items() if name not in ("port", "unix_socket_directories")}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = open(self.home / "server.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [*self.prefix, str(self.bin / "postgres"), "-D", str(data), *flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home,
        )
        ready = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port]
        wait_until("PostgreSQL's start", lambda: subprocess.run([str(part) for part in ready], check=False).returncode == 0)
        self.query_file(HERE / "postgres.sql")
        self.query(
            f"INSERT INTO accounts SELECT 'member-' || n, 0 FROM generate_series(0, {self.options.accounts}) n;"
            " VACUUM ANALYZE;"
        )
        self.check_work()

    def psql(self, *arguments):
        connect = ["-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        return run([self.bin / "psql", *connect, *arguments]).strip()

    def query(self, *statements):
        return self.psql(*[part for statement in statements[0].split(";") if statement.strip() for part in ("-c", statement)])

    def query_file(self, path):
        return self.psql("-f", path)

    def check_work(self):
        """The functions grant what they should: the id, the receipt and the cap are looked at."""
        call = "SELECT accrue(md5('{}')::uuid, 'check', '{}', '2017-01-01', 'coffee', {})"
        rows = [("a", "1", 5000, 100), ("a", "1", 5000, 100), ("b", "1", 5000, -1), ("c", "2", 4950, 99), ("d", "3", 900, 1)]
        for id_text, receipt, amount, expected in rows:
            granted = self.query(call.format(id_text, receipt, amount))
            if granted != str(expected):
                raise Trouble(f"PostgreSQL granted {granted} instead of {expected} for {id_text}")
        self.verify()

    def measure(self, name, kind, clients, batch, seconds):
        script = "postgres_batch.sql" if batch > 1 else "postgres_one.sql"
        logs = self.home / "pgbench"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        variables = ["-D", f"accounts={self.options.accounts}", "-D", f"batch={batch}"]
        text = run([
            self.bin / "pgbench", "-n", "-M", "prepared", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres",
            "-c", clients, "-j", min(2, clients), "-T", seconds, "-f", HERE / script, *variables,
            "-l", f"--log-prefix={logs / 'log'}", "postgres",
        ])
        calls_per_second = float(re.search(r"tps = ([0-9.]+)", text).group(1))
        if "number of failed transactions: 0 " not in text:
            raise Trouble(f"PostgreSQL failed some calls:\n{text}")
        times = sorted(int(line.split()[2]) for log in logs.iterdir() for line in log.read_text().splitlines())
        p50_us, p99_us = percentile(times, 0.50), percentile(times, 0.99)
        return result(name, kind, clients, batch, calls_per_second * batch, p50_us, p99_us)

    def plan(self):
        many, batch = self.options.clients, self.options.batch
        return [
            ("one by one, 1 client", "one-alone", 1, 1),
            (f"one by one, {many} clients", "one-many", many, 1),
            (f"{batch} a call, 1 client", "batch", 1, batch),
            (f"{batch} a call, 4 clients", "batch", 4, batch),
        ]

    def verify(self):
        faults = self.query("SELECT * FROM faults")
        if faults:
            raise Trouble(f"PostgreSQL's books are wrong: {faults}")
        return int(self.query("SELECT count(*) FROM journal"))

    def stop(self):
        if self.process is None:
            return
        # The fast way: sessions are ended, everything is written.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=60)
        stop(self.process)


class Redis:
    """A server of its own in a temporary folder."""

    system = "Redis"

    def __init__(self, options, folder):
        self.options = options
        self.home = folder / "redis"
        self.home.mkdir()
        if not all(shutil.which(name) for name in ("redis-server", "redis-benchmark", "redis-cli")):
            install(["redis-server", "redis-tools"])
        self.version = " ".join(run(["redis-server", "--version"]).split()[:3])
        self.port = unused_port()
        self.process = None
        self.before = 0

    def start(self):
        self.settings = {
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "auto-aof-rewrite-percentage": "0",
            "save": "",
        }
        flags = [part for name, value in self.settings.items() for part in (f"--{name}", value)]
        log = open(self.home / "server.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.home), *flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        ping = ["redis-cli", "-p", str(self.port), "ping"]
        wait_until(
            "Redis' start",
            lambda: subprocess.run(ping, capture_output=True, text=True, check=False).stdout.strip() == "PONG",
        )
        self.script = self.cli("SCRIPT", "LOAD", (HERE / "accrue.lua").read_text())
        self.rates = {}
        self.check_work()

    def cli(self, *arguments):
        return run(["redis-cli", "-e", "-p", self.port, *arguments]).strip()

    def check_work(self):
        """The script grants what it should: the id and the cap are looked at."""
        # Amounts are 100 more than stated; coffee is what four divides.
        rows = [("a", 4900, 100), ("a", 4900, 100), ("b", 4848, 98), ("c", 4900, 2), ("d", 4900, 0)]
        for id_text, amount, expected in rows:
            granted = self.cli("EVALSHA", self.script, 0, id_text, "check", 0, amount)
            if granted != str(expected):
                raise Trouble(f"Redis granted {granted} instead of {expected} for {id_text}")
        self.verify()

    def load(self, clients, pipeline, count):
        # Every __rand_int__ is drawn anew; two of them make an id that does not come twice.
        text = run([
            "redis-benchmark", "-p", self.port, "-c", clients, "-P", pipeline, "-n", count, "-r", self.options.accounts,
            "--csv", "EVALSHA", self.script, 0, f"{time.time_ns()}-__rand_int__", "__rand_int__-__rand_int__",
            "__rand_int__", "__rand_int__",
        ])
        values = [value.strip('"') for value in text.splitlines()[-1].split(",")]
        # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
        return float(values[-7]), float(values[-4]) * 1000, float(values[-2]) * 1000

    def measure(self, name, kind, clients, batch, seconds):
        # The load is a number of commands; a short one tells how many fill the time.
        key = (clients, batch)
        if key not in self.rates:
            self.rates[key] = self.load(clients, batch, max(2_000, clients * batch * 4))[0]
        count = max(clients * batch, int(self.rates[key] * seconds))
        per_second, p50_us, p99_us = self.load(clients, batch, count)
        if batch > 1:
            # The tool stops its clock at the first answers of a pipeline, which says nothing about the whole of it.
            p50_us = p99_us = None
        return result(name, kind, clients, batch, per_second, p50_us, p99_us)

    def plan(self):
        many, batch = self.options.clients, self.options.batch
        return [
            ("one by one, 1 client", "one-alone", 1, 1),
            (f"one by one, {many} clients", "one-many", many, 1),
            (f"{batch} pipelined, 1 client", "batch", 1, batch),
            (f"{batch} pipelined, 4 clients", "batch", 4, batch),
        ]

    def verify(self):
        entries, _, fault = self.cli("EVAL", (HERE / "verify.lua").read_text(), 0).partition("\n")
        if fault.strip():
            raise Trouble(f"Redis' books are wrong: {fault}")
        return int(entries)

    def stop(self):
        if self.process is not None:
            stop(self.process)


class Tallystick:
    """The product's own benchmark, which starts and verifies a server of its own."""

    system = "Tallystick"
    settings = {"configuration": "as shipped"}

    def __init__(self, options, folder):
        self.options = options
        self.home = folder / "tallystick"
        self.home.mkdir()
        self.program = pathlib.Path(options.tallystick)
        if not self.program.exists():
            raise Trouble(f"there is no {self.program}; build it with cargo build --release, or name it with --tallystick")
        self.version = run([self.program, "--version"]).strip()
        self.verified = 0

    def start(self):
        pass

    def plan(self):
        many, batch = self.options.clients, self.options.batch
        connections = min(8, many)
        return [
            ("unary, 1 client", "one-alone", 1, 1),
            (f"unary, {connections} connections", "one-many", connections, 1),
            (f"streams of {batch}", "batch", None, batch),
        ]

    def measure(self, name, kind, clients, batch, seconds):
        what = "stream" if batch > 1 else "unary"
        command = [self.program, "bench", what, "--json", "--seconds", seconds, "--pairs", 1, "--lots", 1, "--lines", 1]
        command += ["--accounts", self.options.accounts, "--within", self.home]
        if batch > 1:
            command += ["--batch", batch]
        else:
            in_flight = max(1, self.options.clients // clients) if clients > 1 else 1
            command += ["--connections", clients, "--in-flight", in_flight]
        answer = json.loads(run(command, cwd=self.home))
        self.verified += sum(found["record_count"] for found in answer.get("verifications", []))
        rows = []
        for found in answer["results"]:
            # What is not durable, such as a server that only answers, is no answer to the question here.
            if not found["durable"] or found.get("due_per_second") or (batch > 1) != (found["batch"] > 1):
                continue
            connections, in_flight = found["connections"], found["in_flight"]
            if kind == "one-many" and connections * in_flight == 1:
                continue
            title = f"{found['name']}, {connections} x {in_flight} in flight"
            if batch > 1:
                title = f"{found['name']}, {found['batch']} a message, {connections} x {in_flight}"
            row = result(title, kind, connections * in_flight, found["batch"], found["ops_per_second"], found["p50_us"],
                         found["p99_us"])
            row["stated"] = {key: value for key, value in found.items() if key not in row}
            rows.append(row)
        if not rows:
            raise Trouble(f"{' '.join(map(str, command))} gave no durable figure")
        return rows

    def verify(self):
        return self.verified

    def stop(self):
        pass


def gather(systems, options):
    """Measures in rounds, each system in turn, so that what disturbs the machine disturbs all of them."""
    runs = {}
    for number in range(1, options.rounds + 1):
        for system in systems:
            for name, kind, clients, batch in system.plan():
                say(f"round {number} of {options.rounds}: {system.system}, {name}")
                measured = system.measure(name, kind, clients, batch, options.seconds)
                for row in measured if isinstance(measured, list) else [measured]:
                    runs.setdefault((system.system, row["name"]), []).append(row)
    results = []
    for (system, _), rows in runs.items():
        middle = sorted(rows, key=lambda row: row["ops_per_second"])[len(rows) // 2]
        results.append({"system": system, **middle, "runs": [row["ops_per_second"] for row in rows]})
    return results


def add_ratios(results):
    """How many times as many operations Tallystick does as each other row of the same kind."""
    best = {}
    for row in results:
        if row["system"] == "Tallystick" and row["durable"]:
            best[row["kind"]] = max(best.get(row["kind"], 0), row["ops_per_second"])
    for row in results:
        own = best.get(row["kind"])
        if row["system"] != "Tallystick" and own and row["ops_per_second"]:
            row["tallystick_ratio"] = round(own / row["ops_per_second"], 2)


def shown(value, form="{:,}"):
    return "" if value is None else form.format(value)


def print_table(report):
    machine = report["machine"]
    print(f"machine: {machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}")
    print(f"disk: {machine['file_system']}; appending 4 KiB and syncing takes {machine['sync_us']} µs (median)")
    print(f"{report['rounds']} rounds of {report['seconds']} s each in turn, medians; {report['accounts']:,} accounts; "
          "load generators share the cores; every answer after its sync\n")
    print(f"{'system':<11} {'load':<42} {'commands/s':>11} {'p50 µs':>9} {'p99 µs':>9}  {'Tallystick':>10}")
    for row in report["results"]:
        ratio = row.get("tallystick_ratio")
        print(f"{row['system']:<11} {row['name']:<42} {row['ops_per_second']:>11,} {shown(row['p50_us']):>9} "
              f"{shown(row['p99_us']):>9}  {shown(ratio, '{:.2f} x'):>10}")
    print("\nThe last column: commands a second of Tallystick's best row of the same kind over this row's. Latencies are per "
          "call, which is a\nwhole batch where there is one; of pipelines none is known.\n")
    for system in report["systems"]:
        name = system["system"]
        settings = ", ".join(f"{key}={value or repr('')}" for key, value in system["settings"].items())
        print(f"{name}: {system['version']}; {settings}")
        if system["verified"] is not None:
            print(f"  books checked after the load: {system['verified']:,} records in the journal, nothing wrong")
        print(f"  does: {WORK[name]['does']}\n  does not: {WORK[name]['does not']}")


def machine_of(folder):
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    kind = run(["df", "--output=fstype", folder]).split()[-1]
    if kind in ("tmpfs", "ramfs"):
        raise Trouble(f"{folder} lies in memory, where a sync means nothing; name another place with --folder")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model.group(1) if model else os.uname().machine,
        "memory_gib": round(int(memory.group(1)) / 2**20),
        "system": f"{os.uname().sysname} {os.uname().release}",
        "file_system": kind,
        "load_average": os.getloadavg()[0],
        "sync_us": probe_sync(folder),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of all systems in turn (default 3)")
    parser.add_argument("--clients", type=int, default=64, help="where there are many (default 64)")
    parser.add_argument("--batch", type=int, default=500, help="commands a batched call (default 500)")
    parser.add_argument("--accounts", type=int, default=100_000, help="of PostgreSQL and Redis (default 100000)")
    parser.add_argument("--only", action="append", choices=[name.lower() for name in WORK], help="leave out the others")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the temporary folder is made")
    parser.add_argument("--tallystick", default=target / "release" / "tallystick", help="the program to measure")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parsed = parser.parse_args()
    if min(parsed.seconds, parsed.rounds, parsed.clients, parsed.accounts) < 1 or not 2 <= parsed.batch <= 4096:
        parser.error("numbers must be 1 or more, and a batch 2 to 4096")
    return parsed


def main():
    options = arguments()
    # A signal ends the run through the same clean-up as an error.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="side-by-side-", dir=options.folder))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # The server that does not run as root has to come past this folder.
        folder.chmod(0o755)
        machine = machine_of(folder)
        kinds = [kind for kind in (Tallystick, Postgres, Redis) if not options.only or kind.system.lower() in options.only]
        systems = []
        for kind in kinds:
            system = kind(options, folder)
            stack.callback(system.stop)
            system.start()
            say(f"{system.system}: {system.version}")
            systems.append(system)
        results = gather(systems, options)
        add_ratios(results)
        report = {
            "machine": machine,
            "rounds": options.rounds,
            "seconds": options.seconds,
            "accounts": options.accounts,
            "results": results,
            "systems": [
                {"system": one.system, "version": one.version, "settings": one.settings, "verified": one.verify(),
                 **WORK[one.system]}
                for one in systems
            ],
        }
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print_table(report)


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        say(f"error: {trouble}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
