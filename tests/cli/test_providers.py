"""An operator verifies a provider whom no platform brought, and says which platform speaks for him."""

from dataclasses import replace

import pytest

from machines.core.clock import Millis
from machines.core.ids import Owner
from machines.core.ports import Destination
from payflow.app.installation import Payflow
from payflow.store.outbox import Post
from payflow.store.registers.audit import AuditLine
from payflow.store.registers.profiles import Profile
from payflow.store.seals import new_key
from tests.cli.till import Till, showing

ANN = Owner("ann")
HOME = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))


def ann_wrote_her_profile(till: Till) -> None:
    """Ann has a token and a profile before any platform has heard of her."""

    async def write(payflow: Payflow) -> None:
        before = await payflow.store.profiles.read(ANN)
        after = replace(before, notify=("mailto:ann@example.com",), destination=HOME)
        await payflow.store.profiles.write(before, after, Millis(1))

    till.do(write)


def profile(till: Till) -> Profile:
    async def read(payflow: Payflow) -> Profile:
        return await payflow.store.profiles.read(ANN)

    return till.do(read)


def news(till: Till) -> list[Post]:
    async def take(payflow: Payflow) -> list[Post]:
        return await payflow.store.outbox.take(10, 1000)

    return till.do(take)


def test_a_provider_of_his_own_is_verified_and_keeps_all_the_rest(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    ann_wrote_her_profile(till)
    before = profile(till)
    assert till.json("provider", "set", "ann", "--verified")["verified"] is True
    assert profile(till) == replace(before, verified=True, checked_by_us=True, version=2)
    assert till.json("provider", "set", "ann", "--verified")["version"] == 2, "nothing changed, nothing is written"
    assert till.json("provider", "set", "ann", "--unverified")["verified"] is False
    assert news(till) == []


def test_a_provider_is_told_when_a_platform_begins_to_speak_for_him(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    ann_wrote_her_profile(till)
    assert "No platform 'shop'" in till.refused("provider", "set", "ann", "--platform", "shop", code=2)
    till("token", "create", "the-shop", "--role", "platform", "--platform", "shop")
    assert till.json("provider", "set", "ann", "--platform", "shop")["platform"] == "shop"
    (told,) = news(till)
    assert (told.kind, told.body["changed"]) == ("notify", "which platform speaks for you")

    async def addressed(payflow: Payflow) -> tuple[str, ...]:
        return payflow.store.profiles.opened_contacts(ANN, told.body["to"])

    assert till.do(addressed) == ("mailto:ann@example.com",)
    assert till.json("provider", "set", "ann", "--platform", "")["platform"] == ""


def test_a_profile_is_shown_without_the_account_and_the_contacts(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    ann_wrote_her_profile(till)
    shown = till.json("provider", "show", "ann")
    assert (shown["destination"], shown["contacts"], shown["verified"]) == ("044 ••••0031", 1, False)
    drawn = till("provider", "show", "ann").out
    assert "0690000031" not in drawn
    assert "ann@example.com" not in drawn
    assert till.json("provider", "show", "nobody")["version"] == 0


def test_what_names_nobody_or_says_nothing_is_refused(till: Till) -> None:
    assert "is no owner" in till.refused("provider", "set", "no one", "--verified", code=2)
    assert "is no owner" in till.refused("provider", "show", "no one", code=2)
    assert till.refused("provider", "set", "ann", code=2) == "Say what to set: --verified, --unverified or --platform."


def test_who_changed_a_provider_and_what_stands_in_the_audit_log(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    for name, word in (("otto", "--verified"), ("olga", "--verified"), ("pam", "--unverified")):
        with showing(till, name):
            till.json("provider", "set", "ann", word)

    async def read(payflow: Payflow) -> list[AuditLine]:
        return await payflow.store.audit.page(None, 10)

    told = [(line.who, line.act, line.subject, line.why) for line in till.do(read)]
    assert told == [
        ("pam", "set provider", "ann", "not verified any more"),
        ("otto", "set provider", "ann", "verified"),
    ]
