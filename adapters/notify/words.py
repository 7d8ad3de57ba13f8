"""Every sentence that people are sent, in one table; amounts as people write them.

A line whose blanks are all empty is left out, so that nobody reads "Reason: ".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from machines.core.errors import BadInput

SIGNS = {"NGN": "₦", "USD": "$", "EUR": "€", "GBP": "£", "GHS": "GH₵", "KES": "KSh ", "ZAR": "R "}
LONGEST = 500
MOST_SHOWN = 20
"""So many payouts are told one by one in a letter; of more it says how many."""

_BLANK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Words:
    """What is said about one kind of news."""

    subject: str
    text: str


TEMPLATES: Mapping[str, Words] = {
    "received": Words(
        "We got your request for {sum}",
        """You asked for {sum} to {destination}.
People look at it before it is paid, and you hear from us as soon as they have decided.
Until then the money is kept for you.

Payout: {payout}""",
    ),
    "approved": Words(
        "Your payout of {sum} is approved",
        """{sum} to {destination} is approved and goes out with the next batch.

Payout: {payout}""",
    ),
    "rejected": Words(
        "Your payout of {sum} was not approved",
        """{sum} to {destination} was not approved, and nothing was paid.
Reason: {reason}
The money is available to you again.

Payout: {payout}""",
    ),
    "cancelled": Words(
        "Your payout of {sum} was cancelled",
        """{sum} to {destination} was cancelled, and nothing was paid.
Reason: {reason}
The money is available to you again.

Payout: {payout}""",
    ),
    "completed": Words(
        "{sum} was paid to you",
        """{sum} was paid to {destination}.
After the fee, {arrives} arrives.
Reference: {reference}

Payout: {payout}""",
    ),
    "failed": Words(
        "Your payout of {sum} did not go through",
        """{sum} to {destination} did not go through. The money is still kept for you.
Reason: {reason}
Next: {next}

Payout: {payout}""",
    ),
    "reversed": Words(
        "Your payout of {sum} came back",
        """{sum} was paid to {destination}, and the bank sent it back. The money is available to you again.
Please check the account before you ask again.
Reference: {reference}

Payout: {payout}""",
    ),
    "paid_after_all": Words(
        "Your payout of {sum} was paid after all",
        """{sum} to {destination} was given back to you; now the bank proves that it was paid.
It is taken off what is available to you; if that is too little, the rest is taken off what you earn next.
Reference: {reference}

Payout: {payout}""",
    ),
    "profile_changed": Words(
        "Your profile was changed",
        """Somebody changed {changed}.
If it was you, all is well; your next payouts may be looked at by people first.
If it was not you, tell us at once: somebody may be using your access.

Provider: {owner}""",
    ),
    "bounty_address_changed": Words(
        "Where your bounties are paid was changed",
        """Somebody changed, on {page}, where your bounties are paid.
They go to {address} now.
From {day} on they go to {coming}.
If it was you, all is well. If it was not you, somebody is using your GitHub account: take the change back on that page,
and end your sessions at GitHub.

Account: {owner}""",
    ),
    "first_sign_in": Words(
        "{by} signed in by the identity provider for the first time",
        """{issuer} vouches for {subject}. That is {by} here, who may be: {roles}.
If nobody knows of it: payflow person disable {by} --reason "nobody knows them"
Everything that they may do here they may do until then.""",
    ),
    "acted_alone": Words(
        "{by} {does} alone: {kind} of {subject}",
        """{by} {does} alone, without a second person: {kind} of {subject}.
Why: {reason}
It can be taken back until {until} UTC, by anybody who operates: payflow decline {proposal}
If this is wrong, take it back, and pause what it concerns.""",
    ),
    "winner_unanswered": Words(
        "{winner} has not said where {bounty} is to be paid",
        """{winner} won {bounty} and has saved no address on the page /bounties.
Our comment on the issue asks for it, {times} times so far. GitHub may tell nobody that a comment was edited,
so write to {winner}. After the deadline a maintainer may name another merged claim there, or give the money back.""",
    ),
    "review_needed": Words(
        "A payout of {sum} waits for you",
        """{owner} is to be paid {sum} to {destination}.
Why it waits: {why}

Payout: {payout}""",
    ),
}


def written(body: Mapping[str, object]) -> tuple[str, str]:
    """Write a message: its subject and its text."""
    event = str(body.get("event", ""))
    words = TEMPLATES.get(event)
    if words is None:
        raise BadInput(f"There are no words for {event[:40]!r}.")
    said = {name: _plain(str(value)) for name, value in body.items()}
    said["sum"] = money(said.get("amount", ""), said.get("currency", ""))
    whole = said.get("arrives", "") == said.get("amount", "")
    said["arrives"] = "" if whole else money(said.get("arrives", ""), said.get("currency", ""))
    lines = (_filled(line, said) for line in words.text.splitlines())
    return _filled(words.subject, said) or "", "\n".join(line for line in lines if line is not None)


def gathered(bodies: Sequence[Mapping[str, object]]) -> tuple[str, str]:
    """Write one letter about payouts that wait: how many, which sums, and what is to be said of the first of them."""
    if len(bodies) == 1:
        return written(bodies[0])
    sums: dict[str, Decimal] = {}
    payouts = {str(body.get("payout", "")): body for body in bodies}
    for body in payouts.values():
        currency = str(body.get("currency", ""))
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(str(body.get("amount", "0")))
    said = " and ".join(money(f"{total:f}", currency) for currency, total in sorted(sums.items()))
    subject = f"{len(payouts)} payouts of {said} wait for you"
    shown = [written(body)[1] for body in list(payouts.values())[:MOST_SHOWN]]
    more = len(payouts) - len(shown)
    rest = [f"And {more} more: the dashboard and `payflow ls` list them."] if more else []
    return subject, "\n\n".join([*shown, *rest])


def money(amount: str, currency: str) -> str:
    """Write an amount as people do: ₦1,250.50."""
    if not amount:
        return ""
    whole, point, fraction = amount.partition(".")
    return f"{SIGNS.get(currency, f'{currency} ')}{int(whole):,}{point}{fraction}"


def _filled(line: str, said: Mapping[str, str]) -> str | None:
    """Fill in the blanks of a line; None for one that would say nothing."""
    blanks = _BLANK.findall(line)
    if blanks and not any(said.get(blank) for blank in blanks):
        return None
    return _BLANK.sub(lambda blank: said.get(blank[1], ""), line)


def _plain(text: str) -> str:
    """Put what came from outside on one line of printable text."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:LONGEST]
