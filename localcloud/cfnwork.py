"""What is done to a stack: made, changed, removed, or brought back to what it was.

Each of these is a generator that stops where AWS takes its time; `advance` takes it on by as many
steps as the clock has brought. Resources come one after the other, where AWS may work at several.

Source: CloudFormation User Guide, "Stack status codes", "Understand stack creation events", "Stack
failure options", "Update behaviors of stack resources".
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from localcloud.cfncalls import Failure, Hand, gone
from localcloud.cfnkinds import Kind, Wanted, checked, name_for
from localcloud.cfnresources import KINDS
from localcloud.cfnstacks import Plan, Resource, Stack, every_stack
from localcloud.cfntemplate import TemplateError, resolve
from localcloud.world import world

__all__ = ["advance", "calm", "create", "delete", "fail_resource", "start", "update"]

Work = Iterator[None]

_NEW_ONE = "Requested update requires the creation of a new physical resource; hence creating one."

_failing: dict[str, str] = {}


def fail_resource(logical: str, reason: str) -> None:
    """Let the next making, or change, of the resource with this logical id fail."""
    _failing[logical] = reason


def calm() -> None:
    """Let no resource fail."""
    _failing.clear()


# -- time ------------------------------------------------------------------------------------------


def start(stack: Stack, work: Work) -> None:
    """Begin something with a stack; what was being done to it is given up."""
    stack.work, stack.due = work, time.time()
    _advance(stack)


def advance() -> None:
    """Do with all stacks what time has brought."""
    for stack in every_stack():
        _advance(stack)


def _advance(stack: Stack) -> None:
    while stack.work is not None and stack.due <= time.time():
        work, stack.now = stack.work, stack.due
        try:
            next(work)
        except BaseException as error:
            stack.work = None
            if not isinstance(error, StopIteration):
                raise
        else:
            stack.due += world.stack_pace


# -- one resource ----------------------------------------------------------------------------------


class _Stop(Exception):  # noqa: N818  (no error)
    """A resource has failed, and been told so."""

    def __init__(self, one: Resource) -> None:
        super().__init__(one.logical)
        self.logical = one.logical


def _wanted(stack: Stack, logical: str) -> tuple[Kind, Wanted]:
    """Return a resource's kind, and how the stack's plan wants it.

    Raises:
        Failure: If its template asks for what there is not.
    """
    entry = stack.plan.template["Resources"][logical]
    kind = KINDS[entry["Type"]]
    try:
        properties = resolve(entry.get("Properties", {}), stack.scope)
    except TemplateError as error:
        raise Failure(str(error)) from error
    tags = dict(stack.plan.tags) if kind.tagged else {}
    if kind.tagged:
        tags.update({tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])})
    want = Wanted(properties, tags)
    checked(kind, want)
    return kind, want


def _new(stack: Stack, logical: str) -> Resource:
    entry = stack.plan.template["Resources"][logical]
    kind = KINDS[entry["Type"]]
    return Resource(
        name_for(kind, stack.name, logical),
        logical=logical,
        kind=kind.name,
        needs=stack.plan.order[logical],
        keep=entry.get("DeletionPolicy") == "Retain",
    )


def _made_to_fail(logical: str) -> None:
    if logical in _failing:
        raise Failure(_failing.pop(logical))


def _make(stack: Stack, one: Resource, verb: str = "CREATE", reason: str = "") -> Work:
    """Make a resource, which is in the stack from now on.

    Raises:
        _Stop: If it fails.
    """
    stack.resources[one.logical] = one
    stack.tell(one, f"{verb}_IN_PROGRESS", reason)
    hand = Hand(stack.region, stack.who)
    try:
        _made_to_fail(one.logical)
        kind, one.want = _wanted(stack, one.logical)
        kind.make(hand, one, one.want)
    except Failure as failure:
        stack.tell(one, f"{verb}_FAILED", str(failure))
        raise _Stop(one) from failure
    if verb == "CREATE":
        stack.tell(one, "CREATE_IN_PROGRESS", "Resource creation Initiated")
    yield
    stack.tell(one, f"{verb}_COMPLETE")


def _change(stack: Stack, one: Resource, want: Wanted) -> Work:
    """Bring a resource to what is wanted.

    Raises:
        _Stop: If it fails; if it has changed nothing, `one.want` is what it was.
    """
    stack.tell(one, "UPDATE_IN_PROGRESS")
    hand = Hand(stack.region, stack.who)
    was = one.want
    try:
        _made_to_fail(one.logical)
        KINDS[one.kind].change(hand, one, was, want)
    except Failure as failure:
        if hand.writes:
            one.want = want
        stack.tell(one, "UPDATE_FAILED", str(failure))
        raise _Stop(one) from failure
    one.want = want
    yield
    stack.tell(one, "UPDATE_COMPLETE")


def _unmake(stack: Stack, leaving: list[Resource]) -> Iterator[None]:
    """Remove resources, the last first; those that fail are `DELETE_FAILED` afterwards.

    What a resource that stays depends on stays too.
    """
    staying: set[str] = set()
    for one in reversed(leaving):
        if one.logical in staying:
            staying |= one.needs
            continue
        if one.keep:
            stack.tell(one, "DELETE_SKIPPED")
            continue
        if not one.physical:
            continue
        stack.tell(one, "DELETE_IN_PROGRESS")
        try:
            KINDS[one.kind].unmake(Hand(stack.region, stack.who), one, one.want)
        except Failure as failure:
            if not gone(failure):
                stack.tell(one, "DELETE_FAILED", str(failure))
                staying |= one.needs
                continue
        yield
        stack.tell(one, "DELETE_COMPLETE")


def _names(ones: list[Resource]) -> str:
    return ", ".join(one.logical for one in ones if one.status.endswith("_FAILED"))


# -- a whole stack ---------------------------------------------------------------------------------


def create(stack: Stack) -> Work:
    """Make a stack."""
    stack.mark("CREATE_IN_PROGRESS", "User Initiated")
    try:
        for logical in stack.plan.order:
            yield from _make(stack, _new(stack, logical))
        stack.outputs = _outputs(stack)
    except _Stop as stop:
        yield from _give_up(
            stack, f"The following resource(s) failed to create: [{stop.logical}]. "
        )
        return
    stack.mark("CREATE_COMPLETE")


def _give_up(stack: Stack, why: str) -> Work:
    """End a creation that failed, as the stack's OnFailure has it."""
    if stack.on_failure == "DO_NOTHING":
        stack.mark("CREATE_FAILED", why)
        return
    if stack.on_failure == "DELETE":
        yield from delete(stack, why + "Delete requested by user.")
        return
    stack.mark("ROLLBACK_IN_PROGRESS", why + "Rollback requested by user.")
    left = list(stack.resources.values())
    yield from _unmake(stack, left)
    failed = [one for one in left if one.status == "DELETE_FAILED"]
    if failed:
        why = f"The following resource(s) failed to delete: [{_names(failed)}]. "
        stack.mark("ROLLBACK_FAILED", why)
    else:
        stack.mark("ROLLBACK_COMPLETE")


def delete(
    stack: Stack, reason: str = "User Initiated", retain: frozenset[str] = frozenset()
) -> Work:
    """Remove a stack, all but the resources that are to be retained."""
    stack.mark("DELETE_IN_PROGRESS", reason)
    for one in stack.resources.values():
        one.keep = one.keep or one.logical in retain
    left = [one for one in stack.resources.values() if one.status != "DELETE_COMPLETE"]
    yield from _unmake(stack, left)
    failed = [one for one in left if one.status == "DELETE_FAILED"]
    if failed:
        why = f"The following resource(s) failed to delete: [{_names(failed)}]. "
        stack.mark("DELETE_FAILED", why)
    else:
        stack.deleted, stack.outputs = stack.now, []
        stack.mark("DELETE_COMPLETE")


@dataclass(frozen=True, slots=True)
class _Before:
    """What a stack was before an update."""

    plan: Plan
    resources: dict[str, Resource]


def update(stack: Stack, plan: Plan) -> Work:
    """Bring a stack to another plan, or back to what it was."""
    before = _Before(stack.plan, stack.copied())
    stack.plan = plan
    stack.mark("UPDATE_IN_PROGRESS", "User Initiated")
    replaced: list[Resource] = []
    try:
        for logical in plan.order:
            yield from _bring(stack, logical, replaced)
        outputs = _outputs(stack)
    except _Stop as stop:
        why = f"The following resource(s) failed to update: [{stop.logical}]. "
        yield from _bring_back(stack, before, why)
        return
    left = [one for one in stack.resources.values() if one.logical not in plan.order]
    if left or replaced:
        stack.mark("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        yield from _unmake(stack, [*replaced, *left])
        for one in left:
            del stack.resources[one.logical]
    stack.resources = {logical: stack.resources[logical] for logical in plan.order}
    stack.outputs = outputs
    stack.mark("UPDATE_COMPLETE")


def _bring(stack: Stack, logical: str, replaced: list[Resource]) -> Work:
    """Bring one resource to the stack's plan: make, change or replace it, or let it be.

    Raises:
        _Stop: If it fails.
    """
    had = stack.resources.get(logical)
    if had is None or not had.physical:
        yield from _make(stack, _new(stack, logical))
        return
    try:
        kind, want = _wanted(stack, logical)
    except Failure as failure:
        stack.tell(had, "UPDATE_FAILED", str(failure))
        raise _Stop(had) from failure
    new = _new(stack, logical)
    had.needs, had.keep = new.needs, new.keep
    old = had.want
    differs = {
        name
        for name in want.properties.keys() | old.properties.keys()
        if want.properties.get(name) != old.properties.get(name)
    }
    if had.kind != kind.name or differs & kind.replaced:
        replaced.append(had)
        yield from _make(stack, new, "UPDATE", _NEW_ONE)
    elif differs or want.tags != old.tags:
        yield from _change(stack, had, want)


def _bring_back(stack: Stack, before: _Before, why: str) -> Work:
    """Bring a stack back to what it was before an update that failed."""
    stack.plan = before.plan
    stack.mark("UPDATE_ROLLBACK_IN_PROGRESS", why)
    new: list[Resource] = []
    failed: list[Resource] = []
    for logical, one in list(stack.resources.items()):
        was = before.resources.get(logical)
        if was is None or was.physical != one.physical:
            new.append(one)
        elif one.want != was.want:
            try:
                yield from _change(stack, one, was.want)
            except _Stop:
                failed.append(one)
        elif one.status == "UPDATE_FAILED":
            stack.tell(one, "UPDATE_COMPLETE")
    if failed:
        why = f"The following resource(s) failed to update: [{_names(failed)}]. "
        stack.mark("UPDATE_ROLLBACK_FAILED", why)
        return
    changed = stack.resources
    stack.resources = {
        logical: changed[logical] if changed[logical] not in new else was
        for logical, was in before.resources.items()
    }
    stack.mark("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    yield from _unmake(stack, new)
    stack.mark("UPDATE_ROLLBACK_COMPLETE")


def _outputs(stack: Stack) -> list[dict[str, str]]:
    """Return a stack's outputs as DescribeStacks shows them."""
    scope = stack.scope
    found = []
    for key, one in stack.plan.template.get("Outputs", {}).items():
        if "Condition" in one and not scope.conditions[one["Condition"]]:
            continue
        output = {"OutputKey": key, "OutputValue": str(resolve(one["Value"], scope))}
        if "Description" in one:
            output["Description"] = one["Description"]
        found.append(output)
    return found
