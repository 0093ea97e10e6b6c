"""While the bot runs no garbage collection looks at more than a bounded number of objects."""

import gc
import sys

from bot.runner.lifecycle import FULL, MIDDLE, YOUNG, calm_collector, prompt_loop


class Node:
    """Part of a cycle of references."""

    def __init__(self) -> None:
        self.itself = self


def test_what_the_start_made_is_not_looked_at_again_and_everything_is_as_before_at_the_end() -> None:
    before, made = gc.get_threshold(), [Node() for _ in range(1_000)]
    with calm_collector():
        assert gc.get_freeze_count() > len(made)
        assert gc.get_threshold() == (YOUNG, MIDDLE, FULL)
        assert not any(each is made for each in gc.get_objects())
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_many_new_objects_cause_no_full_collection_and_cycles_are_freed_all_the_same() -> None:
    generations: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generations.append(info["generation"])

    with calm_collector():
        gc.callbacks.append(note)
        try:
            kept = [[index] for index in range(30 * YOUNG)]
            for _ in range(3 * YOUNG):
                Node()
        finally:
            gc.callbacks.remove(note)
        assert len(kept) == 30 * YOUNG
        assert sum(1 for each in gc.get_objects() if isinstance(each, Node)) <= 2 * YOUNG
    assert 0 in generations
    assert 2 not in generations


def test_threads_that_compute_give_way_to_the_loop_while_the_bot_runs() -> None:
    before = sys.getswitchinterval()
    with prompt_loop():
        assert sys.getswitchinterval() <= 0.001
    assert sys.getswitchinterval() == before
