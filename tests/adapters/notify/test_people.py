"""Mail that really arrives, in the sandbox's letter box."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.notify.contacts import rebuilt
from adapters.notify.handlers import FOR_REVIEWERS, to_people
from adapters.notify.people import People
from adapters.notify.words import TEMPLATES, written
from adapters.sandbox.mail import MailSink
from machines.core.errors import BadInput, Retryable
from tests.adapters.notify.news import MESSAGES, Letter, message

ANN, REVIEWERS = "ann@example.com", "reviewers@example.com"
# Nobody listens there: port 9 on loopback is refused at once.
BROKEN = "mailto://127.0.0.1:9?from=a@example.com&mode=insecure&to=b@example.com"


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def contacts(owner: str) -> Sequence[str]:
    return (f"mailto:{owner}@example.com",)


@pytest.mark.parametrize("event", TEMPLATES)
async def test_each_kind_of_news_arrives_as_mail(sink: MailSink, event: str) -> None:
    deliver = to_people(People(sink.url), contacts, [f"mailto:{REVIEWERS}"])
    body = message(event)
    await deliver(Letter(body))
    (mail,) = sink.mails
    assert mail.to == ((REVIEWERS if event in FOR_REVIEWERS else ANN),)
    assert mail.sender == "payflow@sandbox.example"
    assert (mail.subject, mail.text.strip()) == written(body)


async def test_every_message_that_the_machine_writes_can_be_mailed(sink: MailSink) -> None:
    deliver = to_people(People(sink.url), contacts, [f"mailto:{REVIEWERS}"])
    for body in MESSAGES:
        await deliver(Letter(body))
    assert len(sink.mails) == len(MESSAGES)


async def test_a_warning_goes_to_where_it_was_before_the_change(sink: MailSink) -> None:
    deliver = to_people(People(sink.url), contacts, ())
    await deliver(Letter(message("profile_changed", to="mailto:old@example.com\nmailto:other@example.com")))
    assert sorted(mail.to for mail in sink.mails) == [("old@example.com",), ("other@example.com",)]


async def test_nobody_to_tell_is_nothing_to_do(sink: MailSink) -> None:
    async def nobody(_: str) -> Sequence[str]:
        return ()

    deliver = to_people(People(sink.url), nobody, ())
    await deliver(Letter(message("completed")))
    await deliver(Letter(message("review_needed")))
    assert not sink.mails


async def test_one_contact_that_takes_it_is_enough(sink: MailSink, logged: list[Any]) -> None:
    await People(sink.url).tell([BROKEN, f"mailto:{ANN}"], "subject", "text")
    assert len(sink.to(ANN)) == 1
    assert [line["kind"] for line in logged if line["action"] == "contact_failed"] == ["mailto"]


async def test_when_none_takes_it_the_engine_tries_again(sink: MailSink) -> None:
    sink.refuses = True
    with pytest.raises(Retryable, match="None of 1 contacts"):
        await People(sink.url).tell([f"mailto:{ANN}"], "subject", "text")
    sink.refuses = False
    await People(sink.url).tell([f"mailto:{ANN}"], "subject", "text")
    assert len(sink.mails) == 1


@pytest.mark.parametrize("url", ["nonsense", "nonsense://host", "mailto://", "tgram://not a token", ""])
async def test_a_contact_that_is_none_is_no_crash(url: str) -> None:
    with pytest.raises(Retryable):
        await People().tell([url], "subject", "text")


async def test_without_a_mail_server_it_is_said_and_tried_again(logged: list[Any]) -> None:
    with pytest.raises(Retryable):
        await People().tell([f"mailto:{ANN}"], "subject", "text")
    assert "no_mail_server" in [line["action"] for line in logged]


async def test_no_secret_of_a_contact_is_logged(logged: list[Any]) -> None:
    with pytest.raises(Retryable):
        await People().tell(["tgram://123456789:verysecrettoken/nobody bad"], "subject", "text")
    assert "verysecret" not in str(logged)


@pytest.mark.parametrize(
    ("contact", "may"),
    [
        ("mailto:ann@example.com", True),
        ("tgram://token/chat", True),
        ("slack://bot@T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", True),
        ("pbul://token/ann@example.com", True),
        ("slack://a/b/c%3Ftemplate=x", False),
        ("slack://a/b/c&template=x", False),
        ("discord://127.0.0.1:80/../x", False),
        ("mailto://user:password@internal.example", False),
        ("json://127.0.0.1/admin", False),
        ("http://169.254.169.254/latest", False),
        ("syslog://", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
async def test_a_provider_cannot_send_our_servers_anywhere(contact: str, *, may: bool) -> None:
    async def named(_: str) -> Sequence[str]:
        return (contact,)

    told: list[Sequence[str]] = []

    class Listener(People):
        async def tell(self, contacts: Sequence[str], subject: str, text: str) -> None:
            told.append(contacts)

    assert rebuilt(contact) == (contact if may else "")
    await to_people(Listener(), named, ())(Letter(message("completed")))
    await to_people(Listener(), named, ())(Letter(message("profile_changed", to=contact or "\n")))
    assert told == [[contact] if may else []] * 2


def test_what_an_earlier_version_kept_is_told_without_its_query() -> None:
    assert rebuilt("slack://a/b/c/?template=http://127.0.0.1/&redirect=yes") == "slack://a/b/c"
    assert rebuilt("mailto:ann@example.com?cc=eve@example.com") == "mailto:ann@example.com"


@pytest.mark.parametrize("address", ["ann+tag@example.com", "x&bcc=thief@example.com", "100%@example.com"])
async def test_an_address_stays_one_address(sink: MailSink, address: str) -> None:
    await People(sink.url).tell([f"mailto:{address}"], "subject", "text")
    assert [mail.to for mail in sink.mails] == [(address,)]


@pytest.mark.parametrize(
    "address", ["a@example.com,b@example.com", "a@example.com b@example.com", "A <a@example.com>", ""]
)
async def test_what_is_not_one_address_is_nobodys(sink: MailSink, address: str) -> None:
    with pytest.raises(Retryable):
        await People(sink.url).tell([f"mailto:{address}"], "subject", "text")
    assert not sink.mails


async def test_news_without_words_is_set_aside_by_the_engine(sink: MailSink) -> None:
    with pytest.raises(BadInput):
        await to_people(People(sink.url), contacts, ())(Letter({"event": "surprise", "owner": "ann"}))
