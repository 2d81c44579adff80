"""One client process with many callers: how many requests a server answers, and how soon.

``python -m tests.benchmarks.load {grpc,http} TARGET PATH FILE CALLERS SECONDS`` sends the bytes of FILE again
and again and prints one JSON object.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def grpc_caller(channel: grpc.Channel, path: str, body: bytes) -> Callable[[], None]:
    """Make a function that asks once over a channel, without reading what comes back."""
    call = channel.unary_unary(path)

    def ask() -> None:
        call(body, timeout=60)

    return ask


def http_caller(target: str, path: str, body: bytes) -> Callable[[], None]:
    """Make a function that asks once over a connection of its own."""
    connection = http.client.HTTPConnection(target, timeout=60)
    headers = {"Content-Type": "application/json"}

    def ask() -> None:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise ValueError(f"{response.status}: {answer[:200]!r}")

    return ask


def measure(make: Callable[[], Callable[[], None]], callers: int, seconds: float) -> dict[str, float]:
    """Let callers ask one after the other for a while, after a short run to warm up."""
    # A model's first answer takes seconds: its kernels are chosen then.
    make()()
    times: list[list[float]] = [[] for _ in range(callers)]
    errors = [0] * callers
    begin = time.perf_counter() + 0.3 * seconds
    end = begin + seconds

    def work(number: int) -> None:
        ask, mine = make(), times[number]
        while (start := time.perf_counter()) < end:
            try:
                ask()
            except Exception:
                errors[number] += 1
                continue
            if start >= begin:
                mine.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = np.array([value for mine in times for value in mine] or [np.nan]) * 1000
    return {
        "rate": sum(map(len, times)) / seconds,
        "p50": float(np.percentile(taken, 50)),
        "p99": float(np.percentile(taken, 99)),
        "errors": sum(errors),
    }


def main(kind: str, target: str, path: str, file: str, callers: str, seconds: str) -> None:
    """Measure one server and print the figures."""
    body = Path(file).read_bytes()
    if kind == "http":
        print(json.dumps(measure(lambda: http_caller(target, path, body), int(callers), float(seconds))))
        return
    with grpc.insecure_channel(target, _OPTIONS) as channel:
        print(json.dumps(measure(lambda: grpc_caller(channel, path, body), int(callers), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
