"""Reviewers get one letter for what came within some minutes; none is lost, and none is sent for what they know."""

from collections.abc import Sequence

from adapters.notify.handlers import to_people
from adapters.notify.people import People
from machines.core.clock import FixedClock
from machines.core.decision import Message, keep
from machines.core.errors import Retryable
from machines.core.facts import Nothing
from payflow.engine.dispatcher import Dispatcher
from payflow.store import keys
from payflow.store.registers.review_digest import ReviewDigest
from tests.engine.office import Office

MINUTES = 300


class Letters(People):
    """Keeps what reviewers are sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self.refuses = False

    def apart(self) -> "Letters":
        return self

    async def tell(self, contacts: Sequence[str], subject: str, text: str) -> None:
        if self.refuses:
            raise Retryable("nobody there")
        self.sent.append((subject, text))


async def ask_for_reviews(office: Office, amounts: list[str]) -> None:
    ids = await office.ask(len(amounts))
    for amount, record_id in zip(amounts, ids, strict=True):
        body = {"event": "review_needed", "payout": record_id, "owner": "ann", "destination": "044 ••••0031"}
        body |= {"amount": amount, "currency": "NGN", "why": "new here"}
        stored = await office.store.records.read(record_id)
        await office.store.records.commit(stored, keep("said", messages=(Message("notify", body),)), Nothing(), "test")


def dispatcher(office: Office, letters: Letters) -> Dispatcher:
    async def nobody(_: str) -> list[str]:
        return []

    digest = ReviewDigest(office.store.link, MINUTES * 1000)
    deliver = to_people(letters, nobody, ["mailto:r@example.com"], digest)
    return Dispatcher(office.store.outbox, office.metrics, {"notify": deliver})


async def minutes_pass(office: Office, clock: FixedClock) -> None:
    await office.store.link.ask("DEL", keys.REVIEW_LETTER)
    clock.advance(MINUTES + 1)


async def test_the_first_goes_at_once_and_eighty_more_are_one_letter(still_office: Office, clock: FixedClock) -> None:
    letters = Letters()
    office = dispatcher(still_office, letters)
    await ask_for_reviews(still_office, ["100.00"])
    await office.deliver_due()
    assert [subject for subject, _ in letters.sent] == ["A payout of ₦100.00 waits for you"]
    await ask_for_reviews(still_office, ["1000.50"] * 80)
    while await office.deliver_due():
        pass
    assert len(letters.sent) == 1
    await minutes_pass(still_office, clock)
    while await office.deliver_due():
        pass
    ((subject, text),) = letters.sent[1:]
    assert subject == "80 payouts of ₦80,040.00 wait for you"
    assert text.count("Payout: ") == 20
    assert "And 60 more" in text
    await minutes_pass(still_office, clock)
    while await office.deliver_due():
        pass
    assert len(letters.sent) == 2
    assert await still_office.store.outbox.waiting() == 0
    assert await still_office.store.link.ask("HLEN", keys.REVIEW_DIGEST) == 0


async def test_a_letter_that_nobody_took_is_sent_again_with_what_came_since(
    still_office: Office, clock: FixedClock
) -> None:
    letters = Letters()
    letters.refuses = True
    office = dispatcher(still_office, letters)
    await ask_for_reviews(still_office, ["100.00"])
    await office.deliver_due()
    assert await still_office.store.outbox.waiting() == 1
    letters.refuses = False
    await ask_for_reviews(still_office, ["200.00"])
    await office.deliver_due()
    assert [subject for subject, _ in letters.sent] == ["2 payouts of ₦300.00 wait for you"]
    await minutes_pass(still_office, clock)
    await office.deliver_due()
    assert len(letters.sent) == 1
    assert await still_office.store.outbox.waiting() == 0
