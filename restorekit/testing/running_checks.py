"""Does a network run at all? What else is asked of it makes sense only then."""

from __future__ import annotations

from restorekit.testing.check import CheckFailedError, Subject, for_kinds, naming_no_device
from restorekit.testing.probing import built, running_problem, suggested_rule


@for_kinds("generator", "discriminator", gate=True)
def check_runs(subject: Subject) -> None:
    """It takes ordinary images of a size that it allows, and returns what it must."""
    with naming_no_device():
        network = built(subject)
        problem = running_problem(subject, network)
    if problem is None:
        return
    rule = suggested_rule(subject, network) if subject.kind == "generator" else None
    if rule is None:
        raise problem
    raise CheckFailedError(
        f"{problem}; it works with size_rule = SizeRule(multiple={rule.multiple}, minimum={rule.minimum}): set that"
    ) from problem
