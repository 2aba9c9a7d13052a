"""Waits grow, budgets end, stability heals."""

import pytest

from reconciler.decide.backoff import Budget, delay, failed, lost, stable


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0.0), (1, 0.45), (2, 0.9), (3, 1.8), (10, 230.4), (11, 270.0), (10_000, 270.0)],
)
def test_delay_doubles_up_to_its_ceiling(failures, seconds):
    assert delay(failures, 0.5, 300.0, jitter=0.0) == pytest.approx(seconds)


def test_jitter_is_a_tenth_each_way():
    assert delay(1, 1.0, 300.0, 0.0) == pytest.approx(0.9)
    assert delay(1, 1.0, 300.0, 0.999) < 1.1


def test_the_first_repair_is_immediate_and_a_failed_start_never():
    assert lost(Budget(), "gone", 100.0, 0.5, 300.0, 0.5).not_before == 100.0
    assert failed(Budget(), "exit 1", 100.0, 0.5, 300.0, 0.5).not_before > 100.4


def test_a_budget_of_three_allows_three_more_attempts():
    budget = Budget()
    for _ in range(3):
        budget = failed(budget, "exit 1", 0.0, 0.5, 300.0, 0.5)
        assert not budget.spent(3)
    assert failed(budget, "exit 1", 0.0, 0.5, 300.0, 0.5).spent(3)
    assert [Budget(n).left(3) for n in range(5)] == [3, 2, 1, 0, 0]


def test_a_stable_minute_heals():
    budget = stable(Budget(failures=2), 100.0, 60.0)
    assert stable(budget, 159.0, 60.0).failures == 2
    assert stable(budget, 160.0, 60.0).failures == 0
