"""What the source over Sunbird's services is made of: a crew, an allowance, a breaker."""

import threading
from functools import partial

from catalogue.sunbird.allowance import RENEWED_SECONDS, Allowance
from catalogue.sunbird.breaker import Breaker
from catalogue.sunbird.crew import Crew
from tests.catalogue.neighbours import until


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_a_crew_takes_so_many_jobs_and_the_urgent_ones_first():
    crew = Crew("crew", threads=1, waiting=2)
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def first():
        begun.set()
        go.wait(20)

    assert crew.take(first, urgent=False)
    assert begun.wait(20)
    later = [crew.take(partial(done.append, number), urgent=False) for number in range(3)]
    urgent = [crew.take(partial(done.append, number), urgent=True) for number in range(10, 13)]
    assert (later, urgent) == ([True, True, False], [True, True, False])
    go.set()
    until(lambda: len(done) == 4)
    assert done == [10, 11, 0, 1]


def test_a_crew_has_no_more_threads_than_it_may():
    crew = Crew("crew-of-three", threads=3, waiting=50)
    go = threading.Event()
    at_work = threading.Semaphore(0)

    def job():
        at_work.release()
        go.wait(20)

    assert all(crew.take(job, urgent=True) for _ in range(20))
    for _ in range(3):
        assert at_work.acquire(timeout=20)
    assert [thread.name for thread in threading.enumerate()].count("crew-of-three") == 3
    go.set()
    assert all(at_work.acquire(timeout=20) for _ in range(17))


def test_an_allowance_is_each_threads_own_and_comes_back():
    clock = Clock()
    allowance = Allowance(calls=2, seconds=1.0, clock=clock)
    allowance.spend(calls=1, seconds=0.25)
    assert (allowance.calls(), allowance.seconds) == (1, 0.75)
    seen = []
    other = threading.Thread(target=lambda: seen.append((allowance.calls(), allowance.seconds)))
    other.start()
    other.join()
    assert seen == [(2, 1.0)]
    allowance.spend(calls=0, seconds=0.75)
    assert allowance.calls() == 0  # there is a call left, and no time to wait for it
    clock.seconds += RENEWED_SECONDS
    assert (allowance.calls(), allowance.seconds) == (2, 1.0)


def test_a_breaker_opens_after_failures_in_a_row_only():
    clock = Clock()
    breaker = Breaker(failures=2, open_seconds=5, clock=clock)
    breaker.failed()
    breaker.succeeded()
    assert not breaker.failed()
    assert breaker.admits()
    assert breaker.failed()
    assert (breaker.is_open, breaker.admits()) == (True, False)
    clock.seconds += 5
    assert (breaker.is_open, breaker.admits(), breaker.admits()) == (False, True, False)  # one tries
    clock.seconds += 5
    assert breaker.admits()  # the one who tried never came back
    assert breaker.succeeded()
    assert (breaker.admits(), breaker.admits()) == (True, True)
