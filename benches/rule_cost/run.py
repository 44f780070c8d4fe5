#!/usr/bin/env python3
"""What more rules cost: `bench core` on baskets of 7 lines under the bench programme's 20 rules, under 200, and under
20 with 10,000 rules of one SKU each beside them.

    run.py [--program PATH-OF-TALLYSTICK] [--pairs N] [--seconds N] [--accounts N] [--json]

The programmes take turns, so that what else happens on the machine happens to all of them; the figures are ratios of
medians. Nothing is kept.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BENCH = HERE.parent.parent / "deploy/programs/bench.toml"
KEYS = ("category", "department", "brand", "margin_class")


def rule(name, key, values, bps, when=""):
    values = ", ".join(f'"{value}"' for value in values)
    return f'\n[[rules]]\nname = "{name}"\nmatch = {{ {key} = [{values}] }}\nmultiplier_bps = {bps}\n{when}'


def with_200(source):
    """180 further rules, over all attributes that the baskets carry; every third has a condition."""
    rules = []
    for number in range(180):
        key = ("sku", "brand", "category")[number % 3]
        digits = {"sku": 5, "brand": 3, "category": 3}[key]
        values = [f"{key}-{(number * 37 + step * 11) % 1000:0{digits}}" for step in range(3)]
        when = 'when = { weekdays = ["monday", "wednesday", "friday"] }\n' if number % 3 == 0 else ""
        rules.append(rule(f"more-{number}", key, values, 12_000 + 10 * number, when))
    return source + "".join(rules)


def with_skus(source):
    """10,000 rules of one SKU each."""
    rules = [rule(f"one-{number}", "sku", [f"sku-{number:05}"], 12_000 + number % 5_000) for number in range(10_000)]
    return source + "".join(rules)


def microseconds(program, file, arguments):
    command = [program, "bench", "core", "--lines", "7", "--json", "--program", str(file)]
    command += ["--seconds", str(arguments.seconds), "--accounts", str(arguments.accounts)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    results = json.loads(output)["results"]
    core = next(result for result in results if result["name"] == "core")
    return 1e6 / core["ops_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="tallystick", help="the program to measure")
    parser.add_argument("--pairs", type=int, default=5, help="turns of each programme")
    parser.add_argument("--seconds", type=int, default=2, help="how long each turn measures")
    parser.add_argument("--accounts", type=int, default=100_000, help="accounts of the ledger")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    source = BENCH.read_text()
    programs = {"20 rules": source, "200 rules": with_200(source), "10,020 rules": with_skus(source)}
    times = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.pairs):
            for number, (name, text) in enumerate(programs.items()):
                file = pathlib.Path(folder) / f"{number}.toml"
                file.write_text(text)
                times[name].append(microseconds(arguments.program, file, arguments))
    base = statistics.median(times["20 rules"])
    table = {
        name: {
            "core_us": round(statistics.median(all_times), 3),
            "ratio": round(statistics.median(all_times) / base, 3),
            "spread": [round(min(all_times), 3), round(max(all_times), 3)],
        }
        for name, all_times in times.items()
    }
    if arguments.json:
        print(json.dumps(table))
        return
    for name, figures in table.items():
        low, high = figures["spread"]
        print(f"{name:>13}: {figures['core_us']:.2f} us a basket of 7 lines ({low:.2f} to {high:.2f}), {figures['ratio']:.2f} times")


main()
