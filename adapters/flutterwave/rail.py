"""The rail, over either API version.

What a lost answer means: nothing. v3 is then asked by our reference. v4 cannot be asked by it: its rail says `Unsent`
until it is told the id, and whoever submits the same payment again gets the first answer, and the id, once more.
A look never sends: a replay would pay a payment that was never sent, and pauses and leases guard `submit` alone.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from adapters.flutterwave import wire_v3, wire_v4
from adapters.flutterwave.codec import RAIL
from adapters.flutterwave.transfer import NOT_PAID, FlutterwaveTransfer, check_ours, root, trace, verdict
from adapters.http import GatewayClient
from machines.core.clock import DAY, SECOND, Millis
from machines.core.errors import AnotherPayment, Contradiction, OutcomeUnknown, Retryable
from machines.core.money import Assets
from machines.core.ports import Payment, PaymentKey, Status, Trace, Unsent

# A transfer whose retries go on beyond this is for a person to look at.
MOST_RETRIES = 25
# A list that is longer is asked for in parts.
MOST_PAGES = 10_000
PROBE = PaymentKey("payflow-probe")
"""A reference that no payment has: to ask for it costs one look, and is refused as long as payments are."""


class _Flutterwave:
    """What both versions have in common."""

    name = RAIL

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment


class FlutterwaveV3(_Flutterwave):
    """Pays over API v3: a transfer a payment, found again by its reference."""

    def __init__(self, client: GatewayClient, marker: str = "") -> None:
        super().__init__(client)
        self._marker = marker
        """How transfers of the test mode end; empty where there is money in it."""

    async def submit(self, payment: Payment) -> str | None:
        """Ask for the transfer; adopt the one that an earlier call left under the reference."""
        queued = wire_v3.read_queued(await self._client.send(wire_v3.transfer(payment, self._marker)))
        if queued is not None:
            return _answered(queued, payment).id
        try:
            found = await self._find(payment)
        except Retryable as error:
            # Not `Retryable` as a whole: something landed, only the look at it failed.
            raise OutcomeUnknown(f"{payment.key} exists at Flutterwave; it could not be read: {error}") from error
        # The look-up may lag behind the refusal. It landed all the same, and `status` will check what it is.
        return found.id if found else None

    async def status(self, payment: Payment) -> Status:
        """Look the reference up, and for a failure all retries of it: only if each of them failed was nothing paid."""
        original = await self._find(payment)
        if original is None:
            return Unsent()
        return verdict([original, *await self._retries(original, payment)])

    async def _find(self, payment: Payment) -> FlutterwaveTransfer | None:
        reply = await self._client.read(wire_v3.by_reference(payment.key, self._marker))
        found = wire_v3.read_by_reference(reply, payment.key)
        if len(found) > 1:
            raise Contradiction(f"Flutterwave has {len(found)} transfers {payment.key}.", rail=RAIL)
        if not found and payment.handle:
            # The look-up may lag. What its id shows counts only under our own reference.
            named = wire_v3.read_by_id(await self._client.read(wire_v3.by_id(payment.handle)))
            found = [named] if named is not None and named.reference == payment.key else []
        return check_ours(found[0], payment) if found else None

    async def probe(self) -> None:
        """Ask something cheap behind the same door; `RailClosed` while nobody of ours may pass."""
        wire_v3.checked(await self._client.read(wire_v3.by_reference(PROBE)))

    async def done_since(self, since: Millis, ours: Callable[[PaymentKey], bool], assets: Assets) -> list[Trace]:
        """List every transfer since a time, each with the retries of it that were made since."""
        families: dict[PaymentKey, dict[str, FlutterwaveTransfer]] = {}
        day = datetime.fromtimestamp((since - DAY) / SECOND, UTC).date().isoformat()  # whatever zone the gateway is in
        page, pages = 1, 1
        while page <= pages:
            found, pages = wire_v3.read_page(await self._client.read(wire_v3.listed_since(day, page)))
            for transfer in found:
                families.setdefault(root(transfer.reference), {})[transfer.id] = transfer
            page += 1
            if page > MOST_PAGES:
                raise OutcomeUnknown(f"Flutterwave lists more than {MOST_PAGES} pages: choose a later time.")
        return [trace(key, list(family.values()), assets) for key, family in families.items() if ours(key)]

    async def _retries(self, original: FlutterwaveTransfer, payment: Payment) -> list[FlutterwaveTransfer]:
        """Read the retries of a failed transfer, and theirs. A transfer that did not fail cannot be retried."""
        family: dict[str, FlutterwaveTransfer] = {}
        unread = [original]
        while unread:
            parent = unread.pop(0)
            if parent.status != NOT_PAID:
                continue
            if len(family) > MOST_RETRIES:
                raise OutcomeUnknown(f"{payment.key} was retried more than {MOST_RETRIES} times.")
            reply = await self._client.read(wire_v3.retries(parent.id))
            for retry in wire_v3.read_retries(reply):
                if retry.id not in family and retry.id != original.id:
                    family[retry.id] = check_ours(retry, payment)
                    unread.append(retry)
        return list(family.values())


class FlutterwaveV4(_Flutterwave):
    """Pays over API v4: the idempotency key makes a repeat safe, the id that it brings makes a look possible."""

    async def submit(self, payment: Payment) -> str | None:
        """Ask for the transfer; the same payment again is answered by the first answer again."""
        return _answered(wire_v4.read_transfer(await self._client.send(wire_v4.transfer(payment))), payment).id

    async def status(self, payment: Payment) -> Status:
        """Look at the transfer by its id; at one that repeats ours, or a retry of ours, together with those."""
        if not payment.handle:
            return Unsent()
        family = [await self._look(payment.handle)]
        while family[0].reference != payment.key and family[0].parent:
            # The id came with the webhook of a retry that somebody clicked: our own transfer is above it.
            if len(family) > MOST_RETRIES:
                raise OutcomeUnknown(f"{payment.handle} repeats more than {MOST_RETRIES} transfers.")
            family.insert(0, await self._look(family[0].parent))
        if family[0].reference != payment.key:
            raise AnotherPayment(f"{payment.handle} is not {payment.key} at Flutterwave.")
        return verdict([check_ours(member, payment) for member in family])

    async def probe(self) -> None:
        """Ask something cheap behind the same door; `RailClosed` while nobody of ours may pass."""
        wire_v4.checked(await self._client.read(wire_v4.by_id(PROBE)))

    async def done_since(self, since: Millis, ours: Callable[[PaymentKey], bool], assets: Assets) -> list[Trace]:
        """List every transfer since a time, each with the retries of it."""
        families = (await families_since(self._client, since)).items()
        return [trace(key, family, assets) for key, family in families if ours(key)]

    async def _look(self, transfer_id: str) -> FlutterwaveTransfer:
        return wire_v4.read_by_id(await self._client.read(wire_v4.by_id(transfer_id)))


async def families_since(
    client: GatewayClient, since: Millis
) -> Mapping[PaymentKey, list[FlutterwaveTransfer]]:  # fmt: skip
    """List every transfer since a time over v4, by what was asked for; what moves on to the next page counts once.

    There is no filter by time: it stops before the end only where all pages so far came newest first, and a whole page
    is from before that time.
    """
    listed: dict[str, FlutterwaveTransfer] = {}
    oldest, in_order = "~", True
    until = datetime.fromtimestamp(max(0, since - DAY) / SECOND, UTC).isoformat()
    for page in range(1, MOST_PAGES + 1):
        found = wire_v4.read_page(await client.read(wire_v4.listed(page)))
        for transfer in found:
            if transfer.id in listed:
                continue  # new ones have come in front of it, and moved it to the next page
            in_order = in_order and "" < transfer.created_at <= oldest
            oldest = transfer.created_at
            listed[transfer.id] = transfer
        if not found or (in_order and all(transfer.created_at < until for transfer in found)):
            return _families(listed)
    raise OutcomeUnknown(f"Flutterwave lists more than {MOST_PAGES} pages.")


def _families(listed: Mapping[str, FlutterwaveTransfer]) -> Mapping[PaymentKey, list[FlutterwaveTransfer]]:
    """Put transfers together with the retries of them, and theirs, which may have references of their own."""
    families: dict[PaymentKey, list[FlutterwaveTransfer]] = defaultdict(list)
    for transfer in listed.values():
        first = transfer
        for _ in range(MOST_RETRIES):
            first = listed.get(first.parent, first)
        families[root(first.parent_reference or first.reference)].append(transfer)
    return families


def _answered(transfer: FlutterwaveTransfer, payment: Payment) -> FlutterwaveTransfer:
    """Make sure that the answer to a submission is about the payment."""
    if transfer.reference != payment.key:
        raise Contradiction(f"Flutterwave answered {payment.key} with {transfer.reference}.", rail=RAIL)
    return check_ours(transfer, payment)
