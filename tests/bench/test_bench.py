"""The bench's own figures, and its load generator against a tiny server of this process."""

import json
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench import age, figures, traffic
from bench.inside import Done
from bench.load import BenchFailed, Run, Target, closed_loop, open_loop, parse, request
from bench.report import ages_text
from catalogue import reading

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nbroken"


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[Target]:
    """A server that answers each request's first line with these bytes, and hangs up after an empty answer."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while (header := self.rfile.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                if not (told := answer(line)):
                    return
                self.wfile.write(told)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Target("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


# --- figures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([7.0], 50, 7), ([7.0], 99, 7), ([1.0, 2, 3, 4], 50, 2), ([1.0, 2, 3, 4], 75, 3), ([1.0, 2, 3, 4], 76, 4)],
)
def test_percentiles_are_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert figures.percentile(values, percent) == expected


def test_a_spread_needs_no_order_and_none_is_made_of_nothing() -> None:
    hundred = [float(value) for value in range(100, 0, -1)]
    assert figures.spread(hundred) == figures.Spread(p50=50, p95=95, p99=99, max=100)
    assert figures.spread([]) is None


def test_rounds_are_told_by_their_medians_and_the_worst_maximum() -> None:
    rounds = [figures.Spread(1, 2, 3, 90), figures.Spread(5, 6, 7, 8), figures.Spread(2, 3, 4, 5)]
    assert figures.median_spread(rounds) == figures.Spread(p50=2, p95=3, p99=4, max=90)


def test_ratios_compare_each_round_with_its_own_floor() -> None:
    assert figures.ratios([50, 10], [100, 20]) == [0.5, 0.5]
    with pytest.raises(ValueError, match="shorter"):
        figures.ratios([1, 2], [1])


@pytest.mark.parametrize(
    ("value", "target", "at_most", "expected"),
    [(0.6, 0.6, False, "met"), (0.59, 0.6, False, "missed"), (2.0, 2.0, True, "met"), (2.1, 2.0, True, "missed")],
)
def test_a_target_is_met_or_missed(value: float, target: float, at_most: bool, expected: str) -> None:
    assert figures.verdict(value, target, at_most=at_most) == expected
    assert figures.verdict(value, None, at_most=at_most) == ""


def test_a_table_lines_up_its_columns() -> None:
    told = figures.table(("call", "per s"), [("start", "1,000"), ("", "7")]).split("\n")
    assert told == ["| call  | per s |", "| ----- | ----: |", "| start | 1,000 |", "|       |     7 |"]


# --- the load generator ------------------------------------------------------------------------------------------


def test_a_closed_loop_counts_good_answers_and_sends_each_request_once() -> None:
    seen: Counter[bytes] = Counter()

    def answer(line: bytes) -> bytes:
        seen[line] += 1
        return OK

    with answering(answer) as target:
        run = closed_loop(
            target, [request("POST", f"/{number}", b"{}") for number in range(200)], connections=4, seconds=5
        )
    assert len(run.latencies) == 200
    assert not run.errors
    assert set(seen.values()) == {1}
    assert len(seen) == 200
    assert run.rate == pytest.approx(200 / run.seconds)


def test_a_closed_loop_stops_by_itself() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield request("GET", "/")

    began = time.monotonic()
    with answering(lambda _: OK) as target:
        run = closed_loop(target, endless(), connections=2, seconds=0.3)
    assert run.seconds >= 0.3
    assert time.monotonic() - began < 20, "there was always a next request"
    assert run.latencies


def test_anything_but_2xx_is_an_error_with_its_words_and_no_throughput() -> None:
    with answering(lambda line: FAILED if b"/bad" in line else OK) as target:
        paths = ["/good", "/bad", "/good"]
        run = closed_loop(target, [request("GET", path) for path in paths], connections=1, seconds=5)
    assert run.errors == {"500 broken": 1}
    assert len(run.latencies) == 2


def test_a_connection_that_breaks_is_an_error_and_is_made_again() -> None:
    with answering(lambda line: b"" if b"/hang-up" in line else OK) as target:
        paths = ["/good", "/hang-up", "/good"]
        run = closed_loop(target, [request("GET", path) for path in paths], connections=1, seconds=5)
    assert sum(run.errors.values()) == 1
    assert "ConnectionResetError" in next(iter(run.errors))
    assert len(run.latencies) == 2


def test_an_open_loop_keeps_its_rate_and_tells_each_acknowledged_call() -> None:
    told: list[int] = []
    with answering(lambda line: FAILED if b"/7 " in line else OK) as target:
        requests = [request("GET", f"/{number}") for number in range(50)]
        run = open_loop(target, requests, rate=100, connections=4, acknowledged=lambda number, _: told.append(number))
    assert run.seconds >= 0.49
    assert sorted(told) == [number for number in range(50) if number != 7]
    assert run.errors == {"500 broken": 1}


def test_an_open_loop_counts_a_latency_from_when_the_call_was_due() -> None:
    def slow(_: bytes) -> bytes:
        time.sleep(0.05)  # the server's work
        return OK

    with answering(slow) as target:
        run = open_loop(
            target, [request("GET", "/")] * 10, rate=100, connections=1, acknowledged=lambda _number, _when: None
        )
    assert max(run.latencies) > 0.3, "ten calls of 50 ms, due within 90 ms: the last one waited"


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "0.0.0.0", "localhost"])
def test_load_is_sent_to_the_loopback_interface_only(host: str) -> None:
    with pytest.raises(BenchFailed, match="not a loopback address"):
        closed_loop(Target(host, 80), [request("GET", "/")], connections=1, seconds=1)


def test_a_server_that_is_not_there_fails_the_bench() -> None:
    with answering(lambda _: OK) as target:
        pass
    with pytest.raises(BenchFailed, match="nobody listens"):
        closed_loop(target, [request("GET", "/")], connections=1, seconds=1)


@pytest.mark.parametrize(
    ("received", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-len", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_an_answer_is_taken_when_all_of_it_is_there(received: bytes, whole: bool) -> None:
    assert (parse(received) is not None) is whole


# --- what is sent, and what is made of it ------------------------------------------------------------------------


def test_the_generated_course_is_one_the_service_takes() -> None:
    document = reading.read(json.dumps(traffic.catalogue()))
    assert list(document.collections) == [traffic.COURSE]
    assert list(document.batches) == [traffic.BATCH]


def test_the_crowd_ends_each_content_at_most_once() -> None:
    rate, seconds = 400, 30
    bodies = [traffic.crowd_end(number, age.LEARNERS) for number in range(rate * seconds)]
    assert len(set(bodies)) == rate * seconds
    started = {
        (line["userid"], line["contentid"])
        for line in traffic.crowd(age.LEARNERS, age.contents_each(rate, seconds))
        if line["table"] == "user_content_consumption"
    }
    ended = {(told["userId"], told["contentId"]) for told in (json.loads(body)["request"] for body in bodies)}
    assert ended <= started
    with pytest.raises(BenchFailed, match="more than"):
        age.contents_each(10_000, 60)


class Told:
    """A database that has folded what `folded` holds."""

    def __init__(self) -> None:
        self.folded: set[Done] = set()

    def aggregated(self, waiting: "set[Done]") -> set[Done]:
        return self.folded & set(waiting)

    def marks(self) -> int:
        return 3

    def forget_marks(self) -> None:
        self.folded.clear()

    def durability(self) -> dict[str, str]:
        return {}


def test_an_age_runs_from_the_acknowledgement_to_the_first_look_that_finds_it() -> None:
    database, done = Told(), Done("crowd-1", "bench-content-1")
    watch = age.Watch(database)  # type: ignore[arg-type]
    watch.add(done, time.monotonic() - 5)
    watch.look()
    assert watch.ages == []
    database.folded.add(done)
    watch.look()
    watch.look()
    assert watch.ages == [pytest.approx(5, abs=1)]
    assert watch.finish() == 0
    assert watch.most_marks == 3


def test_what_was_never_folded_is_told() -> None:
    run = Run(seconds=1, latencies=[0.001] * 10)
    ages = age.Ages(
        rate=10, run=run, age_s=figures.Spread(0.1, 0.2, 2.5, 3), sampled=10, never=4, most_marks=9, drain=1,
        cpu={"worker": 0.5}, busy_cores=1,
    )  # fmt: skip
    assert "never folded: 4" in ages_text(ages)
    assert "missed" in ages_text(ages)
