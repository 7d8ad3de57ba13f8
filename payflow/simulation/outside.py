"""Everybody outside: who wants something of a payout, who must help it on, and the gateway's webhooks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import PayflowError
from machines.core.ids import RecordId
from machines.core.lifecycle import Position
from machines.core.ports import Destination
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import PayoutRecord
from payflow.desk.gateways import Notices
from payflow.desk.reconcile.comparison import Word, compare, open_rails
from payflow.engine.step import take_in
from payflow.simulation.conditions import Conditions, Story
from payflow.simulation.gateway import QueuedWebhook, UnkindGateway
from payflow.simulation.processes import OLGA, RITA, Installation

PATIENCE_MS = DAY // 2
"""How long a payout may hang before two people settle it by what the gateway's support says."""
RESTING = frozenset({s.COMPLETED, s.CANCELLED, s.REJECTED, s.REVERSED, s.CONTRADICTED, s.FAILED})
OTHER_ACCOUNT = Destination("bank", (("account_number", "0690000099"), ("bank_code", "058")))
ACCEPTED = 0.7
"""How likely a reviewer says yes to another destination."""

WISHES = ("poke", "cancel", "cancel for them", "retry", "release", "repeat old news", "correct", "take up")
UNKIND_WISHES = ("reject",)
UNPAID = tuple(each.name for each in s.STATES if each.position is not Position.PAID)
"""Where people put a payout. That one was paid they may say, and we could only believe it."""
OVERRIDES = ("override", "override", "override by two")


class Meddlers:
    """People and webhooks, over the same desks that the API and the dashboard call."""

    def __init__(
        self, conditions: Conditions, gateway: UnkindGateway, story: Story, installation: Installation, dice: Random
    ) -> None:
        self._conditions = conditions
        self._gateway = gateway
        self._story = story
        self._parts = installation
        self._dice = dice
        self._clock = story.clock
        self.payout = RecordId("")
        """Which one it is about, once it was asked for."""
        self.needed: list[str] = []
        """What people had to do so that the payout could go on or come to rest."""
        self.overrode: list[Millis] = []
        """When two people overrode what nobody had proven."""
        self._waits_since = self._clock.now()
        self._attempts = 0
        self.destinations: list[Destination] = []
        """Where the payout may go."""

    async def record(self) -> PayoutRecord:
        """Read the payout as it is."""
        record: PayoutRecord = (await self._parts.store.records.read(self.payout)).record
        return record

    # ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def deliver(self, webhook: QueuedWebhook) -> None:
        """Bring a webhook to where Payflow takes them in."""
        (setup,) = self._parts.setups.values()
        assert setup.hooks is not None  # noqa: S101
        if not setup.hooks.genuine(webhook.headers, webhook.body):
            outcome = "forged"
        else:
            try:
                notice = setup.hooks.read(webhook.body)
                outcome = (
                    await Notices(self._parts.store, self._parts.metrics).take(setup.hooks, notice)
                    if notice
                    else "other"
                )
            except PayflowError as error:
                outcome = f"refused: {error}"
            else:
                if webhook.true:
                    self._gateway.heard.setdefault(webhook.transfer.id, self._clock.now())
        self._story.tell("webhook", f"{webhook.transfer.reference} is {webhook.transfer.state}: {outcome}")

    # ── wishes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def wish(self) -> None:
        """Let somebody want something, allowed or not."""
        conditions = self._conditions
        wish = self._dice.choice(WISHES + UNKIND_WISHES * (not conditions.truthful) + OVERRIDES * conditions.overrides)
        try:
            record = await self.record()
            parts, payout, owner = self._parts, record.id, record.owner
            asked: Mapping[str, Callable[[], Awaitable[object]]] = {
                "poke": lambda: parts.store.records.poke(payout),
                "cancel": lambda: parts.desk.cancel(payout, owner, "changed my mind", owner),
                "cancel for them": lambda: parts.desk.cancel(payout, "olga", "asked for twice"),
                "retry": lambda: parts.desk.retry(payout, "olga"),
                "release": lambda: parts.desk.release(payout, OLGA, "give it back"),
                "reject": lambda: parts.desk.reject(payout, "rita", "no"),
                "repeat old news": lambda: self._repeat_old_news(record),
                "correct": lambda: self._correct(record),
                "take up": lambda: parts.steering.take_up(payout, "olga"),
                "override": lambda: self._override(record, UNPAID),
                "override by two": lambda: self._override(record, (s.CANCELLED, s.UNCONFIRMED, s.FAILED), by_two=True),
            }
            await asked[wish]()
        except PayflowError as error:
            self._story.tell("people", f"{wish}: refused: {error}")
        else:
            self._story.tell("people", f"{wish}: done")

    async def _repeat_old_news(self, record: PayoutRecord) -> None:
        """Tell once more that attempts failed which are over, as a webhook that comes late might."""
        for attempt in record.data.attempts[:-1]:
            fact = f.NotPaid(attempt.reference, "said again")
            await take_in(self._parts.store.records, self._parts.metrics, record.id, fact, "somebody")

    async def _override(self, record: PayoutRecord, states: Sequence[str], *, by_two: bool = False) -> None:
        await self._parts.override(record, self._dice.choice(states), "I know better", by_two=by_two)
        if by_two:
            self.overrode.append(self._clock.now())

    async def _correct(self, record: PayoutRecord) -> None:
        """Name another account, or say yes or no to the one that was named and that the rules have looked at."""
        desk = self._parts.desk
        if record.data.correction is None:
            record = (await desk.correct(record.id, record.owner, OTHER_ACCOUNT, record.owner)).after
        if self._dice.random() < ACCEPTED:
            self.destinations.append(OTHER_ACCOUNT)
            await desk.approve(record.id, RITA, record.data.proposal.fingerprint)
        else:
            await desk.reject(record.id, "rita", "not that one")

    # ── help ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def make_round(self, record: PayoutRecord) -> None:
        """Let an operator look for what waits for a person, and do what a careful one would."""
        parts = self._parts
        try:
            for scope, pause in (await parts.store.pauses.all()).items():
                if scope.startswith("shard:"):
                    await self._reconcile()
                else:
                    self._help(f"resume {scope}: {pause.why}")
                    await parts.steering.resume(scope, OLGA, "looked at it")
            if record.parked and f"take up: {record.parked}" in self.needed:
                if record.state not in RESTING:
                    await self._settle(record)
            elif record.parked:
                self._help(f"take up: {record.parked}")
                await parts.steering.take_up(record.id, "olga")
            elif record.state not in RESTING and self._hangs(record):
                await self._settle(record)
        except PayflowError as error:
            self._story.tell("operator", f"in vain: {error}")

    def _hangs(self, record: PayoutRecord) -> bool:
        """Say whether there was no new attempt for so long that a person should look."""
        if len(record.data.attempts) != self._attempts:
            self._attempts, self._waits_since = len(record.data.attempts), self._clock.now()
        return self._clock.now() - self._waits_since > PATIENCE_MS

    async def _reconcile(self) -> None:
        self._help("reconcile")
        store, word = self._parts.store, Word("olga", "compared with the dashboard")
        parts = [self._parts.payouts.reconcile()]
        outcome = await compare(store, parts, Millis(self._story.began - HOUR), word)
        for finding in outcome.findings:
            self._story.tell("operator", f"reconciles: {finding.says} {finding.advice}")
        await open_rails(store, outcome, word)

    async def _settle(self, record: PayoutRecord) -> None:
        """Ask the gateway's support, who can see everything, and do what two people then may."""
        self._help(f"settle by two: {record.state}")
        self._waits_since = self._clock.now()
        paid_or_may_be = self._gateway.alive()
        onwards = s.COMPLETED if record.state == s.UNCONFIRMED else s.UNCONFIRMED
        to = onwards if paid_or_may_be else s.CANCELLED
        await self._parts.override(record, to, "the gateway's support says so", by_two=True)

    def _help(self, what: str) -> None:
        self.needed.append(what)
        self._story.tell("operator", what)
