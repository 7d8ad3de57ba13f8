"""The sandbox's letter box takes what a mail client sends, and keeps its bounds."""

import asyncio
import smtplib
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from adapters.sandbox import mail as mail_module
from adapters.sandbox.mail import Mail, MailSink


def letter(subject: str = "A subject", text: str = "Some text\n", **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.com", "bob@example.com", subject
    for name, value in headers.items():
        made[name] = value
    made.set_content(text)
    return made


async def send(sink: MailSink, say: Callable[[smtplib.SMTP], object]) -> object:
    def call() -> object:
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
            return say(client)

    return await asyncio.to_thread(call)


async def test_a_mail_is_kept_as_it_was_written(sink: MailSink) -> None:
    await send(sink, lambda client: client.send_message(letter("₦1,250.50 was paid", "Tschüß ••••\n.\n..two\n")))
    (mail,) = sink.mails
    assert mail == Mail("ann@example.com", ("bob@example.com",), "₦1,250.50 was paid", "Tschüß ••••\n.\n..two\n")


async def test_any_name_and_password_will_do(sink: MailSink) -> None:
    def login(client: smtplib.SMTP) -> None:
        client.login("anybody", "anything")
        client.send_message(letter())

    await send(sink, login)
    assert len(sink.mails) == 1


async def test_several_mails_go_over_one_connection(sink: MailSink) -> None:
    def two(client: smtplib.SMTP) -> None:
        client.send_message(letter("one"))
        client.rset()
        client.noop()
        client.send_message(letter("two"), to_addrs=["eve@example.com", "olu@example.com"])

    await send(sink, two)
    assert [mail.subject for mail in sink.mails] == ["one", "two"]
    assert sink.to("olu@example.com") == [sink.mails[1]]


async def test_what_it_does_not_know_it_refuses_and_goes_on(sink: MailSink) -> None:
    def strange(client: smtplib.SMTP) -> int:
        code, _ = client.docmd("SING", "loud")
        client.send_message(letter())
        return code

    assert await send(sink, strange) == 502
    assert len(sink.mails) == 1


async def test_it_can_have_a_bad_day(sink: MailSink) -> None:
    sink.refuses = True
    with pytest.raises(smtplib.SMTPException):
        await send(sink, lambda client: client.send_message(letter()))
    assert not sink.mails


async def test_a_mail_without_end_is_not_kept(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_module, "MOST_BYTES", 1000)
    with pytest.raises(smtplib.SMTPDataError, match="Too large"):
        await send(sink, lambda client: client.send_message(letter(text="x" * 70 + "\n" * 2000)))
    await send(sink, lambda client: client.send_message(letter()))
    assert len(sink.mails) == 1


async def test_only_the_newest_are_kept(sink: MailSink) -> None:
    assert sink.mails.maxlen == mail_module.MOST_MAILS


async def test_a_guest_who_hangs_up_harms_nobody(sink: MailSink) -> None:
    for said in (b"", b"EHLO me\r\n", b"DATA\r\nhalf a letter", b"x" * 100_000):
        _, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(said)
        await writer.drain()
        writer.close()
    await send(sink, lambda client: client.send_message(letter()))
    assert len(sink.mails) == 1


async def test_it_closes_although_somebody_is_still_there() -> None:
    async with MailSink() as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        assert await reader.readline() == b"220 sandbox\r\n"
    assert await reader.read() == b""
    writer.close()
