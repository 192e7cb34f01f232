"""Runs device lists through the ring builder of Swift and writes its tables.

usage: swift_builder.py JOB

JOB is a JSON file: `scenarios`, each with its `power`, `width`, `steps` of `devices` and, per step, the file of the other
builder's table; per scenario its `runs`; and `out`, the folder for tables. A run is a `seed`, the most `passes` of
rebalancing after each step, and what each step starts from: `own` tables, or those of the other builder (`given`).

A table is a file of 16-bit little-endian ids of devices, partition by partition. Each step prints one line of JSON.
"""
import array
import copy
import json
import logging
import sys
import time
from importlib.metadata import version

from swift.common.ring import RingBuilder

logging.disable(logging.CRITICAL)


def read_table(path, width):
    """The table as Swift's builder has it: one array of devices per replica."""
    flat = array.array("H")
    with open(path, "rb") as file:
        flat.frombytes(file.read())
    if sys.byteorder == "big":
        flat.byteswap()
    return [flat[replica::width] for replica in range(width)]


def write_table(path, replicas):
    flat = array.array("H", (device for row in zip(*replicas) for device in row))
    if sys.byteorder == "big":
        flat.byteswap()
    with open(path, "wb") as file:
        file.write(flat.tobytes())


class Names:
    """Swift numbers its regions and zones."""

    def __init__(self):
        self.numbers = {}

    def number(self, *name):
        return self.numbers.setdefault(name, len(self.numbers) + 1)


def apply(builder, names, devices):
    """Adds, weighs and removes what differs between the builder and the list."""
    wanted = {device["id"]: device for device in devices}
    there = {device["id"]: device for device in builder.devs if device}
    for id in sorted(set(there) - set(wanted)):
        builder.remove_dev(id)
    for id, device in sorted(wanted.items()):
        weight = device["weight"] / 1000.0 if device["state"] == "active" else 0.0
        if id not in there:
            builder.add_dev({
                "id": id,
                "region": names.number(device["region"]),
                "zone": names.number(device["region"], device["zone"]),
                "ip": device["node"],
                "port": 6200,
                "device": "d%d" % id,
                "weight": weight,
            })
        elif there[id]["weight"] != weight:
            builder.set_dev_weight(id, weight)


def start_from(builder, table):
    """Gives the builder another table, as reading a builder file does."""
    state = builder.to_dict()
    state["_replica2part2dev"] = table
    state["_last_part_moves"] = None
    loads = {}
    for replica in table:
        for device in replica:
            loads[device] = loads.get(device, 0) + 1
    for device in state["devs"]:
        if device:
            device["parts"] = loads.get(device["id"], 0)
    return RingBuilder.from_dict(state)


def rebalance(builder, run):
    """Rebalances while the dispersion or the worst device gets better.

    Returns the builder as it was at its best, the number of passes that took, and their seconds.
    """
    best, best_rank, passes, seconds = None, None, 0, 0.0
    while passes < run["passes"]:
        start = time.perf_counter()
        changed, balance, _ = builder.rebalance(seed=run["seed"] + passes)
        took = time.perf_counter() - start
        rank = (builder.dispersion, balance)
        if best is not None and (not changed or rank >= best_rank):
            return best, passes, seconds
        best_rank, passes, seconds = rank, passes + 1, seconds + took
        best = copy.deepcopy(builder) if passes < run["passes"] else builder
    return best, passes, seconds


def play(job, at, number, run):
    scenario = job["scenarios"][at]
    builder, names = RingBuilder(scenario["power"], scenario["width"], 0), Names()
    builder.set_overload(run["overload"])
    for step, stage in enumerate(scenario["steps"]):
        if run["start"] == "given":
            if step == 0:
                apply(builder, names, stage["devices"])
                continue
            builder = start_from(builder, read_table(scenario["tables"][step - 1], scenario["width"]))
        apply(builder, names, stage["devices"])
        builder, passes, seconds = rebalance(builder, run)
        path = "%s/%d-%d-%d.table" % (job["out"], at, number, step)
        write_table(path, builder._replica2part2dev)
        line = {"scenario": at, "run": number, "step": step, "passes": passes, "seconds": seconds, "table": path}
        print(json.dumps(line), flush=True)


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    print(json.dumps({"version": version("swift")}), flush=True)
    for at, scenario in enumerate(job["scenarios"]):
        for number, run in enumerate(scenario["runs"]):
            play(job, at, number, run)


main()
