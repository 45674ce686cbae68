"""How a contender talks with the benchmark: a number of rounds comes in on a line, a JSON document
with times goes out.

Nothing but the standard library is imported, since contenders may run in another environment.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time


def answer_rounds(make_run: Callable[[], Callable[[int], object]]) -> None:
    """Open a contender, warm it up, say so, then time `run(n)` for every n that is read from
    standard input.

    What the contender itself prints goes to standard error.
    """
    with os.fdopen(os.dup(1), "w", encoding="ascii") as channel:
        os.dup2(2, 1)
        run = make_run()
        run(2)
        _say(channel, {"ready": True})
        for line in sys.stdin:
            seconds, cpu_seconds = perf_counter(), process_time()
            run(int(line))
            seconds, cpu_seconds = perf_counter() - seconds, process_time() - cpu_seconds
            _say(channel, {"seconds": seconds, "cpu_seconds": cpu_seconds, "memory": _peak()})


def _say(channel: object, document: dict[str, object]) -> None:
    print(json.dumps(document), file=channel, flush=True)  # type: ignore[call-overload]


def _peak() -> int:
    """Peak resident bytes of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its figure is inherited from the parent through fork and exec.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
