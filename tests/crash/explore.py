"""Draws stories from a seed: the same stories from the same seed."""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.crash.story import Story, stories

__all__ = ["explore"]


def explore(play: Callable[[Story], None], runs: int, number: int) -> None:
    """Play stories that follow from a seed, until one goes wrong.

    Args:
        play: Plays one; raises AssertionError if it goes wrong, and is then given it again.
        runs: How many.
        number: The seed.

    Raises:
        AssertionError: As it was raised, the second time too.
        HypothesisException: If it went wrong only once.
    """

    @seed(number)
    @settings(
        max_examples=runs,
        deadline=None,  # real processes wait for each other: no single time is too long
        database=None,  # a story is told whole, and is played again from that
        # No shrinking: each try takes seconds, and a race seldom comes back when it is looked for.
        phases=(Phase.generate,),
        suppress_health_check=(HealthCheck.too_slow,),  # stories are slow by their nature
    )
    @given(stories)
    def draw(story: Story) -> None:
        play(story)

    draw()
