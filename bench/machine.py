"""What the numbers were measured on, and who used its processors meanwhile."""

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.servers import ROOT

TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, object]:
    """Cores, processor, memory (GiB), kernel and Python."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that is checked out, with `-dirty` where files differ from it; `unknown` outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our words only
    return told.stdout.strip() or "unknown"


def cpu_seconds(pids: Iterable[int]) -> dict[str, float]:
    """Processor time so far, by what a process is: `server` (granian) or `worker` (Celery and its keeper)."""
    used: dict[str, float] = {}
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        kind = (
            "worker"
            if b"celery" in command or b"config.worker" in command
            else "server"
            if b"granian" in command
            else "supervisor"
        )
        used[kind] = used.get(kind, 0.0) + (int(stat[11]) + int(stat[12])) / TICKS
    return used


def cpu_since(before: dict[str, float], pids: Iterable[int]) -> dict[str, float]:
    """Processor time since `before`; a process that was started again counts from its own start."""
    return {kind: max(0.0, used - before.get(kind, 0.0)) for kind, used in cpu_seconds(pids).items()}


def busy_cores(seconds: float = 0.2) -> float:
    """Cores in use during so many seconds in which the bench does nothing: what others take from a measurement."""
    before, began = busy_seconds(), time.perf_counter()
    time.sleep(seconds)
    return (busy_seconds() - before) / (time.perf_counter() - began)


def busy_seconds() -> float:
    """Processor time so far of everybody on this machine."""
    values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / TICKS
