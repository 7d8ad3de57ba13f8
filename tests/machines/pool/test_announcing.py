"""What a lane is told when it tells the pool's books of what it is about to send."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.open_ethereum_pool.books import ScriptAnswer
from machines.core.errors import Retryable
from machines.core.ports import PaymentKey
from machines.pool import lifecycle as s
from payflow.desk.pool.pool import announcing
from tests.machines.pool.test_react import TX, payment


async def told(state: str, answer: ScriptAnswer) -> str:
    """Tell books that answer so."""

    async def read(_: str) -> Any:  # noqa: ANN401
        return SimpleNamespace(record=payment(state))

    async def announce(*_: object) -> ScriptAnswer:
        return answer

    own = SimpleNamespace(store=SimpleNamespace(records=SimpleNamespace(read=read)))
    books = SimpleNamespace(keys=SimpleNamespace(coin="eth"), announce=announce)
    return await announcing(cast("Any", books), cast("Any", own))(PaymentKey(payment(state).id), TX, 7)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ScriptAnswer("done", ""), ""),
        (ScriptAnswer("already", "debited"), ""),
        (ScriptAnswer("row_gone", "0xabc:600"), "somebody resolved it by hand"),
        (ScriptAnswer("contradicts", "credited"), "credited"),
    ],
)
async def test_what_people_have_settled_must_not_leave_any_more(answer: ScriptAnswer, words: str) -> None:
    found = await told(s.SENT, answer)
    assert words in found
    assert bool(found) == bool(words)


@pytest.mark.parametrize("answer", [ScriptAnswer("contradicts", "unknown"), ScriptAnswer("broken", "a key")])
async def test_books_that_were_restored_or_are_broken_are_waited_for(answer: ScriptAnswer) -> None:
    with pytest.raises(Retryable, match="cannot be noted"):
        await told(s.SENT, answer)


async def test_what_is_booked_and_sent_again_after_a_reorganisation_is_kept_by_no_books() -> None:
    assert await told(s.PAID, ScriptAnswer("contradicts", f"paid:{TX}")) == ""
