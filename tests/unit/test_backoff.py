from __future__ import annotations

from penstock.kube.backoff import UNANSWERED_CAP_S, Backoff


def test_pauses_double_up_to_the_cap():
    backoff = Backoff(base_s=1, cap_s=10, random_share=lambda: 1.0)
    assert [backoff.next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_jitter_takes_at_most_half():
    assert Backoff(base_s=1, cap_s=10, random_share=lambda: 0.0).next_s() == 0.5


def test_what_the_server_asks_for_is_the_least_even_beyond_the_cap():
    backoff = Backoff(base_s=1, cap_s=10, random_share=lambda: 0.5)
    assert backoff.next_s(60) == 60.75


def test_after_a_success_pauses_are_short_again():
    backoff = Backoff(base_s=1, cap_s=10, random_share=lambda: 1.0)
    for _ in range(5000):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 1


def test_a_server_that_is_away_for_long_is_asked_every_second():
    backoff = Backoff(random_share=lambda: 1.0)
    pauses = [backoff.next_unanswered_s() for _ in range(60)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == max(pauses) == UNANSWERED_CAP_S


def test_a_server_that_refuses_after_it_was_away_is_asked_again_soon():
    backoff = Backoff(base_s=0.1, cap_s=30, random_share=lambda: 1.0)
    for _ in range(60):
        backoff.next_unanswered_s()
    assert backoff.next_s() == 0.1
    assert backoff.next_unanswered_s() == 0.1
