"""One look at all that an account holds of this daemon's; blocking."""

from collections.abc import Collection

from htcondor_annex import tags
from htcondor_annex.inventory import look
from htcondor_annex.inventory.judge import Holdings
from htcondor_annex.inventory.look import Caller
from htcondor_annex.inventory.seen import Marks, Rule

__all__ = ["Survey"]


class Survey:
    """Looks at one account again and again.

    A rule of an annex that is not ours is asked for its tags once: ids are random, so whose a rule
    is never changes.
    """

    def __init__(self) -> None:
        """Know no rules yet."""
        self._marks: dict[str, Marks] = {}

    def _rules(self, aws: Caller, known: Collection[str]) -> list[tuple[Rule, Marks]]:
        """Return the rules of annexes that the journal does not know, with their tags."""
        strange = [one for one in look.rules(aws) if one.annex_id not in known]
        found: dict[str, Marks] = {}
        for rule in strange:
            marks = self._marks.get(rule.arn) or look.rule_marks(aws, rule.arn)
            if marks is not None:
                found[rule.arn] = marks
        self._marks = found
        return [(rule, found[rule.arn]) for rule in strange if rule.arn in found]

    def take(
        self,
        aws: Caller,
        annexd_id: str,
        fleets_without_tags: Collection[str],
        known: Collection[str],
        *,
        rules: bool,
    ) -> Holdings:
        """Look once.

        Args:
            aws: Makes the calls.
            annexd_id: This daemon's.
            fleets_without_tags: Fleets whose instances carry no tags of ours.
            known: The ids of the annexes in the journal.
            rules: Whether to look for rules of unknown annexes.

        Raises:
            AwsError: If AWS would not tell.
        """
        instances = look.instances(aws, tags.ANNEXD, annexd_id, lambda marks: marks.annexd_id)
        if fleets_without_tags:
            instances += look.instances_of_fleets(aws, fleets_without_tags)
        return Holdings(
            fleets=tuple(look.fleets(aws)),
            instances=tuple({one.id: one for one in instances}.values()),
            rules=tuple(self._rules(aws, known)) if rules else (),
        )
