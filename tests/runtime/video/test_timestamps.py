from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from amcnet.runtime.video.timestamps import FrameTimes

MILLISECONDS, RATE = Fraction(1, 1000), Fraction(25)


def _placed(*pts: int | None) -> list[int]:
    times = FrameTimes(MILLISECONDS, RATE)
    return [times.place(time) for time in pts]


def test_increasing_times_are_unchanged():
    assert _placed(-80, 0, 1, 500, 90_000) == [-80, 0, 1, 500, 90_000]


def test_missing_times_are_filled_in_at_the_frame_rate():
    assert _placed(None, None, None) == [0, 40, 80]
    assert _placed(100, None, 180) == [100, 140, 180]


def test_a_repeated_time_does_not_move_the_frames_after_it():
    assert _placed(0, 40, 40, 120, 160) == [0, 40, 41, 120, 160]


def test_a_small_step_back_does_not_move_the_frames_after_it():
    assert _placed(0, 80, 40, 120) == [0, 80, 81, 120]


def test_distances_are_kept_after_a_jump_of_the_clock():
    assert _placed(5000, 5040, 0, 30, 100) == [5000, 5040, 5080, 5110, 5180]


@given(st.lists(st.none() | st.integers(-(10**6), 10**6)), st.sampled_from([1, 7, 1000, 90_000]))
def test_times_always_increase(pts: list[int | None], ticks: int):
    times = FrameTimes(Fraction(1, ticks), RATE)
    placed = [times.place(time) for time in pts]
    assert all(later > earlier for earlier, later in pairwise(placed))
