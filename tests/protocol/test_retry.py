"""When a failed attempt may be repeated, by a clock of the test's own."""

from protocol.retry import Retry


def test_each_retry_waits_longer() -> None:
    """Each failure doubles the wait up to the longest, and failures at one moment count once."""
    now_s = 0.0
    retry = Retry(2.0, 10.0, lambda: now_s)
    waits_s = []
    for _ in range(4):
        retry.failed()
        retry.failed()
        begun_s = now_s
        while not retry.ready:
            now_s += 0.5
        waits_s.append(now_s - begun_s)
    assert waits_s == [2.0, 4.0, 8.0, 10.0]
    retry.failed()
    retry.worked()
    assert retry.ready
