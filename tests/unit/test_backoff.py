from __future__ import annotations

from penstock.kube.backoff import Backoff


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
