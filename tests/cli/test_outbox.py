"""News that nobody took is seen at the terminal, and sent once more."""

from payflow.app.installation import Payflow
from tests.cli.till import Till


def set_aside(till: Till, *keys: str) -> list[str]:
    """Finish errands whose news nobody takes, until it is set aside."""
    for key in keys:
        till.errand("DONE", key=key)

    async def give_up(payflow: Payflow) -> list[str]:
        posts = await payflow.store.outbox.take(10, 60_000)
        for post in posts:
            await payflow.store.outbox.give_up(post)
        return [post.id for post in posts]

    return till.do(give_up)


def test_what_was_set_aside_is_listed_and_sent_once_more_under_its_old_id(till: Till) -> None:
    (message,) = set_aside(till, "1")
    told = till.json("outbox", "ls")
    assert told["waiting"] == 0
    assert [(one["message"], one["kind"]) for one in told["set_aside"]] == [(message, "told")]
    assert message in till("outbox", "ls").out

    assert till.json("outbox", "replay", message) == {"replayed": [message]}
    assert till.json("outbox", "ls") == {"waiting": 1, "set_aside": []}

    async def due(payflow: Payflow) -> list[tuple[str, int]]:
        return [(post.id, post.tries) for post in await payflow.store.outbox.take(10, 60_000)]

    assert till.do(due) == [(message, 0)], "due at once, and the tries begin anew"


def test_all_of_it_is_sent_once_more_when_the_other_side_is_up_again(till: Till) -> None:
    messages = set_aside(till, "1", "2", "3")
    assert sorted(till.json("outbox", "replay", "--all")["replayed"]) == sorted(messages)
    assert till.json("outbox", "ls") == {"waiting": 3, "set_aside": []}
    assert till.json("outbox", "replay", "--all") == {"replayed": []}


def test_a_message_that_was_not_set_aside_is_not_sent(till: Till) -> None:
    (message,) = set_aside(till, "1")
    till.json("outbox", "replay", message)
    assert till.refused("outbox", "replay", message) == f"No message {message} was set aside."
    assert till.refused("outbox", "replay", "nonsense", code=2)
    assert till.refused("outbox", "replay", code=2) == "Name one message, or --all of them."
    assert till.refused("outbox", "replay", message, "--all", code=2) == "Name one message, or --all of them."
    assert "None was set aside" in till("outbox", "ls").out
