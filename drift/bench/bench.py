#!/usr/bin/python3
"""Sets anneal beside pandas and SciPy on one machine: see `make bench-drift`.

    bench.py ANNEAL FOLDER MILLIONS…

Makes the tables that FOLDER lacks, runs each command in turn three times (once from
10 million rows on), and prints medians: seconds, seconds of processor, megabytes at the peak.
"""
import os
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    """Wall and processor seconds of a command, and its peak in MB."""
    began = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, used = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{' '.join(command)}: status {status}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def table(folder, millions, seed):
    """Ten columns of numbers and three of categories, about 95 bytes a row. With seed 2
    n2, n5, n7, c1 and c2 have moved."""
    name = os.path.join(folder, f"{millions}m-{seed}.csv")
    if os.path.exists(name):
        return name
    if sys.argv[1] != "table":
        # In a process of its own: what it takes would be the peak of all that are
        # begun here, as Linux counts.
        subprocess.run([sys.executable, __file__, "table", folder, str(millions), str(seed)], check=True)
        return name
    del sys.path[0]  # where pandas.py is not pandas
    import numpy as np
    import pandas as pd

    r, moved = np.random.default_rng(seed), seed - 1
    with open(name + ".part", "w") as out:
        for part in range(4 * millions):
            n, u = r.standard_normal((10, 250_000)), r.random((14, 250_000))
            columns = {
                "n0": n[0], "n1": 100 * u[1], "n2": n[2] + 0.15 * moved, "n3": 1000 * u[3] ** 3, "n4": np.floor(50 * u[4]),
                "n5": n[5] * (1 + 0.25 * moved), "n6": np.maximum(0, u[6] - 0.7), "n7": 10 * u[7] + 10 * moved * (u[7] > 0.95),
                "n8": np.where(r.random(250_000) < 0.01, np.nan, u[8]), "n9": 1e6 + n[9],
                "c0": np.char.add("k", (4 * u[10]).astype(int).astype(str)),
                "c1": np.where(u[11] > 0.5 + 0.1 * moved, "blue", "red"),
                "c2": np.char.add("city_", (100 * u[12] * u[13] + moved).astype(int).astype(str)),
            }
            pd.DataFrame(columns).to_csv(out, index=False, header=part == 0, float_format="%.4f")
    os.rename(name + ".part", name)
    return name


def main():
    # Where who began this ignores the end of children, so does this process, and then
    # there is nothing to wait for: "No child processes".
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    anneal, folder, sizes = sys.argv[1], sys.argv[2], [int(n) for n in sys.argv[3:]]
    os.makedirs(folder, exist_ok=True)
    for millions in sizes:
        ref, cur = table(folder, millions, 1), table(folder, millions, 2)
        kept = ref.replace(".csv", ".profile")
        run([anneal, "drift", "profile", "--output", kept, ref])
        python = ["/usr/bin/python3", os.path.join(HERE, "pandas.py")]
        ours = [anneal, "drift", "compare", "--tests", "ks,wasserstein,psi,js,chi2", "--current", cur, "--reference"]
        commands = {
            "pandas and SciPy, five statistics": python + ["five", ref, cur],
            "pandas and SciPy, Evidently's default": python + ["evidently", ref, cur],
            "anneal drift compare": ours + [ref],
            "anneal drift compare, sketches alone": ours + [ref, "--exact=false"],
            "anneal drift compare, kept reference": ours + [kept],
        }
        runs = {name: [] for name in commands}
        for _ in range(3 if millions < 10 else 1):
            for name, command in commands.items():
                runs[name].append(run(command))
        print(f"CSV, {millions} + {millions} million rows, 13 columns, {os.cpu_count()} processors")
        medians = {name: [statistics.median(x) for x in zip(*r)] for name, r in runs.items()}
        first = medians["pandas and SciPy, five statistics"]
        for name, (wall, cpu, peak) in medians.items():
            print(f"  {name:40} {wall:8.2f} s {cpu:8.2f} cpu-s {peak:7.0f} MB  {first[0] / wall:5.1f}x wall {first[1] / cpu:5.1f}x cpu")


if __name__ == "__main__":
    if sys.argv[1] == "table":
        table(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
