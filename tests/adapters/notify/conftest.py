"""A letter box, and a platform that listens."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from adapters.sandbox.mail import MailSink
from tests.adapters.notify.shop import Shop, open_shop


@pytest.fixture
async def sink() -> AsyncIterator[MailSink]:
    async with MailSink() as sink:
        yield sink


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as shop:
        yield shop


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
