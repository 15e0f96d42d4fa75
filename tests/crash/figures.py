"""The figures of a run: how many rounds there are to be, what came of them, and the table printed at its end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.crash.oracle import Verdict

#: Kills at each point in each configuration.
KILLS = int(os.environ.get("DURABLY_CRASH_KILLS", "5"))
#: To repeat a run: which passes are hit, and which random choices are made. Threads still race as they like.
SEED = os.environ.get("DURABLY_CRASH_SEED") or secrets.token_hex(4)
#: Rounds that go on side by side.
LANES = int(os.environ.get("DURABLY_CRASH_LANES", "3"))


@dataclass
class Tally:
    """The sum of many rounds. ``what``: the configuration, a comma, and what was done to it."""

    what: str
    kills: int = 0
    rounds: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0
    slowest: float = 0.0

    def add(self, kills: int, verdict: Verdict, seconds: float) -> None:
        """Count one round."""
        self.rounds += 1
        self.kills += kills
        self.verdict.add(verdict)
        self.slowest = max(self.slowest, seconds)

    def merge(self, other: Tally) -> None:
        """Count another tally's rounds among these."""
        self.kills += other.kills
        self.rounds += other.rounds
        self.verdict.add(other.verdict)
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)

    def bound(self) -> str:
        """With no violation in n independent rounds, the rate of violations is below 3/n with 95 % confidence."""
        return f"< {3 / self.rounds:.2%}" if self.rounds >= 10 and not self.verdict.violations else "-"

    def line(self) -> str:
        """What is printed."""
        found = self.verdict
        return (
            f"{self.what:<66} rounds {self.rounds:>5}  kills {self.kills:>5}  workflows {found.workflows:>6}  "
            f"lost {found.lost}  doubled {found.doubled}  stuck {found.stuck}  out of order {found.out_of_order}  "
            f"rerun {found.rerun}  diverged {found.diverged}  unbalanced {found.unbalanced}  95% {self.bound():>8}  "
            f"{self.seconds:6.1f} s  slowest round {self.slowest:5.2f} s"
        )


_tallies: list[Tally] = []


def report(tally: Tally) -> Tally:
    """Print a tally now, and count it in the table at the end of the run."""
    _tallies.append(tally)
    print(f"\n{tally.line()}  seed {SEED}", end="")
    return tally


def table() -> Iterable[str]:
    """One line for each configuration, and one for all."""
    if not _tallies:
        return []
    sums: dict[str, Tally] = {}
    total = Tally("all")
    for tally in _tallies:
        configuration = tally.what.partition(",")[0]
        sums.setdefault(configuration, Tally(configuration)).merge(tally)
        total.merge(tally)
    return [one.line() for one in (*sums.values(), total)] + [f"seed {SEED}"]
