"""What is taken for deaf, and when: every course of a few checks."""

from __future__ import annotations

import itertools

from coder_nb.warm.health import FAILURES, Patience, Pulse, checked, verdict

PATIENCE = Patience(interval=15.0, busy=120.0)
STEPS = (1.0, 15.0, 60.0)


def course(steps: tuple[tuple[float, bool], ...]) -> tuple[Pulse, float, list[float]]:
    """The pulse after checks, the time, and when the failures that count happened since the last good answer."""
    pulse, now, counted = Pulse(), 0.0, list[float]()
    for wait, well in steps:
        now += wait
        pulse = checked(pulse, well=well, now=now, patience=PATIENCE)
        if well:
            counted = []
        elif not counted or now - counted[-1] >= PATIENCE.interval:
            counted.append(now)
    return pulse, now, counted


def test_every_course_of_six_checks_is_judged_by_its_independent_failures() -> None:
    for steps in itertools.product(itertools.product(STEPS, (True, False)), repeat=6):
        pulse, now, counted = course(steps)
        assert pulse.failures == len(counted)
        idle, busy = (verdict(pulse, busy=each, now=now, patience=PATIENCE) for each in (False, True))
        assert idle == ("well" if not counted else "deaf" if len(counted) >= FAILURES else "doubtful")
        graced = bool(counted) and now - counted[0] < PATIENCE.busy
        assert busy == ("doubtful" if graced and idle == "deaf" else idle)


def test_a_burst_of_failures_is_one() -> None:
    pulse, _, _ = course(((15.0, False), *[(0.1, False)] * 100))
    assert pulse == Pulse(1, 15.0, 15.0)


def test_one_good_answer_makes_it_well() -> None:
    pulse, now, _ = course(((15.0, False),) * 5 + ((0.1, True),))
    assert verdict(pulse, busy=False, now=now, patience=PATIENCE) == "well"


def test_a_machine_that_slept_or_a_process_that_stood_still_has_missed_one_check_and_not_many() -> None:
    pulse, now, _ = course(((15.0, False), (28_800.0, False)))
    assert [verdict(pulse, busy=busy, now=now, patience=PATIENCE) for busy in (False, True)] == ["doubtful"] * 2
