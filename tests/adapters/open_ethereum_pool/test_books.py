"""Each change of the books is exactly what the pool would have written, once, or nothing."""

from collections.abc import Awaitable, Callable

import pytest

from adapters.open_ethereum_pool.books import PoolBooks, ScriptAnswer
from adapters.open_ethereum_pool.config import Flavour
from adapters.open_ethereum_pool.link import PoolRedis
from machines.core.chain import TxHash
from machines.core.errors import Retryable
from machines.core.ports import PaymentKey
from machines.pool.data import PoolLine
from tests.adapters.open_ethereum_pool.mine import Mine

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
BOB = "0x5a0b54d5dc17e0aadc383d2db43b0a0d3e029c4c"
TX = TxHash("0xe670ec64341771606e55d6b4ca35a1a6b75ee3d5145a99d05921026d15273310")
OTHER = TxHash("0x" + "2" * 64)
OURS = "eth:payflow:applied"


def line(login: str = ANN, shannon: int = 600, key: str = "pool-1", charge: int = 0) -> PoolLine:
    """A payment."""
    return PoolLine(PaymentKey(key), login, shannon, 1_462_920_526, charge)


def without_ours(mine: Mine) -> dict[str, object]:
    """The books without our one key."""
    return {key: value for key, value in mine.everything().items() if key != OURS}


async def test_debit_writes_what_the_pool_writes(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    assert (await books.debit(line())).code == "done"
    ours = without_ours(mine)
    mine.do("FLUSHALL")
    mine.earn(ANN, 1000)
    mine.debit(ANN, 600, 1_462_920_526)
    assert ours == mine.everything()


async def test_write_payment_writes_what_the_pool_writes(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(line())
    assert (await books.write_payment(line(), TX)).code == "done"
    ours = without_ours(mine)
    mine.do("FLUSHALL")
    mine.earn(ANN, 1000)
    mine.debit(ANN, 600, 1_462_920_526)
    mine.pay(ANN, 600, 1_462_920_526, TX)
    assert ours == mine.everything()
    assert mine.lock() is None


async def test_rollback_gives_back_exactly_what_was_taken(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    before = mine.sums(ANN), mine.sums("finances")
    await books.debit(line())
    mine.earn(ANN, 7, height=2)
    assert (await books.rollback(line())).code == "done"
    assert mine.sums(ANN) == (before[0][0] + 7, 0, 0)
    assert mine.sums("finances") == (before[1][0] + 7, 0, 0)
    assert (mine.pending(), mine.lock()) == ([], None)


CHANGES: dict[str, Callable[[PoolBooks], Awaitable[ScriptAnswer]]] = {
    "debit": lambda books: books.debit(line()),
    "announce": lambda books: books.announce(line(), TX, 7),
    "write_payment": lambda books: books.write_payment(line(), TX),
    "rollback": lambda books: books.rollback(line()),
    "skip": lambda books: books.skip(line()),
    "add_missing": lambda books: books.add_missing(line(), TX),
    "adopt": lambda books: books.adopt(line()),
}


@pytest.mark.parametrize(
    "steps",
    [
        ("debit",),
        ("debit", "announce"),
        ("debit", "announce", "write_payment"),
        ("debit", "rollback"),
        ("skip",),
        ("add_missing",),
    ],
    ids="-".join,
)
async def test_every_step_repeated_changes_nothing_twice(mine: Mine, link: PoolRedis, steps: tuple[str, ...]) -> None:
    books = PoolBooks(link, "eth", Flavour.OETC)
    mine.earn(ANN, 1000)
    for step in steps:
        assert (await CHANGES[step](books)).code == "done"
    after = mine.everything()
    for step in steps:
        assert (await CHANGES[step](books)).code in ("already", "contradicts")
        assert mine.everything() == after


async def test_paid_is_never_credited_and_credited_never_paid(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(line())
    await books.write_payment(line(), TX)
    after = mine.everything()
    assert await books.rollback(line()) == ("contradicts", f"paid:{TX}")
    assert await books.write_payment(line(), OTHER) == ("contradicts", f"paid:{TX}")
    await books.debit(line(key="pool-2", shannon=300))
    await books.rollback(line(key="pool-2", shannon=300))
    assert (await books.write_payment(line(key="pool-2", shannon=300), OTHER)).code == "contradicts"
    assert {**mine.everything(), OURS: None} == {**after, OURS: None}


@pytest.mark.parametrize("balance", ["599", "0", "-1000", "", "59"])
async def test_nobody_is_debited_more_than_he_has(mine: Mine, books: PoolBooks, balance: str) -> None:
    if balance:
        mine.do("HSET", f"eth:miners:{ANN}", "balance", balance)
    before = mine.everything()
    assert await books.debit(line()) == ("short", balance or "0")
    assert mine.everything() == before


async def test_large_amounts_are_compared_digit_by_digit(mine: Mine, books: PoolBooks) -> None:
    nearly = 9_007_199_254_740_992  # 2^53: here doubles begin to mistake a number for its neighbour
    mine.earn(ANN, nearly)
    assert (await books.debit(line(shannon=nearly + 1))).code == "short"
    assert (await books.debit(line(shannon=nearly))).code == "done"
    assert mine.sums(ANN) == (0, nearly, 0)


async def test_one_payment_of_a_login_is_open_at_a_time(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(line())
    before = mine.everything()
    lock = f"{ANN}:600"
    assert await books.debit(line(key="pool-2", shannon=100), lock) == ("pending", f"{ANN}:600")
    assert mine.everything() == before


async def test_a_lock_of_somebody_else_stops_a_debit(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    mine.do("SETNX", "eth:payments:lock", f"{BOB}:5")
    before = mine.everything()
    assert await books.debit(line()) == ("locked", f"{BOB}:5")
    assert mine.everything() == before
    assert (await books.debit(line(), f"{BOB}:5")).code == "done"


async def test_the_lock_goes_with_the_last_open_row(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    mine.earn(BOB, 1000)
    await books.debit(line())
    await books.debit(line(BOB, 700, "pool-2"), f"{ANN}:600")
    await books.write_payment(line(), TX)
    assert mine.lock() == f"{ANN}:600"
    await books.rollback(line(BOB, 700, "pool-2"))
    assert mine.lock() is None


async def test_what_was_called_off_is_never_debited(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.skip(line())
    assert await books.debit(line()) == ("already", "skipped")
    assert mine.sums(ANN) == (1000, 0, 0)


async def test_what_was_debited_is_not_called_off(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(line())
    assert await books.skip(line()) == ("already", "debited")


async def test_a_row_that_somebody_took_away_is_noticed(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(line())
    mine.do("ZREM", "eth:payments:pending", f"{ANN}:600")
    before = mine.everything()
    assert (await books.write_payment(line(), TX)).code == "row_gone"
    assert (await books.rollback(line())).code == "row_gone"
    assert mine.everything() == before


WRONG = [
    ("eth:payments:lock", ("LPUSH", "x")),
    ("eth:payments:pending", ("SET", "x")),
    (f"eth:miners:{ANN}", ("SET", "x")),
    ("eth:finances", ("SET", "x")),
    ("eth:payments:all", ("SET", "x")),
    (f"eth:payments:{ANN}", ("HSET", "a", "b")),
    ("eth:payments:pendingtx", ("SET", "x")),
    ("eth:payments:pendingnonce", ("SET", "x")),
]


@pytest.mark.parametrize(("key", "command"), WRONG, ids=[key for key, _ in WRONG])
@pytest.mark.parametrize("change", ["debit", "write_payment", "rollback", "announce", "adopt", "add_missing"])
async def test_a_key_of_another_type_is_named_and_nothing_is_written(
    mine: Mine, link: PoolRedis, key: str, command: tuple[str, ...], change: str
) -> None:
    books = PoolBooks(link, "eth", Flavour.OETC)
    mine.earn(ANN, 1000)
    if change in ("write_payment", "rollback", "announce"):
        await books.debit(line())
    mine.do("DEL", key)
    mine.do(command[0], key, *command[1:])
    dump = {one: mine.do("TYPE", one) for one in mine.do("KEYS", "*")}
    code, found = await CHANGES[change](books)
    assert code == "broken"
    assert key in found
    assert {one: mine.do("TYPE", one) for one in mine.do("KEYS", "*")} == dump


@pytest.mark.parametrize("value", ["9223372036854775807", "12.5", "abc", "1e9", "007", "-0", "99999999999999999999"])
@pytest.mark.parametrize("where", [f"eth:miners:{ANN}", "eth:finances"])
async def test_a_sum_that_is_no_number_that_fits_is_named(mine: Mine, books: PoolBooks, value: str, where: str) -> None:
    mine.earn(ANN, 1000)
    mine.do("HSET", where, "balance", value)
    before = mine.everything()
    code, found = await books.debit(line())
    assert code == "broken"
    assert where in found
    assert mine.everything() == before


@pytest.mark.parametrize("flavour", list(Flavour))
async def test_nonce_and_hash_are_noted_whatever_pool_the_file_seems_to_be_of(
    mine: Mine, link: PoolRedis, flavour: Flavour
) -> None:
    mine.earn(ANN, 1000)
    books = PoolBooks(link, "eth", flavour)
    await books.debit(line())
    await books.announce(line(), TX, 7)
    assert mine.everything()["eth:payments:pendingnonce"] == {f"{ANN}:600": "7"}
    assert mine.everything()["eth:payments:pendingtx"] == {f"{ANN}:600": TX}
    await books.announce(line(), OTHER, 7)
    assert mine.everything()["eth:payments:pendingtx"] == {f"{ANN}:600": OTHER}
    await books.write_payment(line(), OTHER)
    assert not {"eth:payments:pendingtx", "eth:payments:pendingnonce"} & set(mine.everything())


# ── what others did to it, and what was lost of our mark ─────────────────────────────────────────────────────────────

AT = 1_462_920_526


def ours(at_s: int = AT) -> PoolLine:
    """A payment whose row was written in this second."""
    return PoolLine(PaymentKey("pool-1"), ANN, 600, at_s, row_s=AT)


@pytest.mark.parametrize("flavour", list(Flavour))
async def test_a_history_that_has_it_is_the_booking_though_our_mark_is_gone(
    mine: Mine, link: PoolRedis, flavour: Flavour
) -> None:
    books = PoolBooks(link, "eth", flavour)
    mine.earn(ANN, 1000)
    await books.debit(ours())
    await books.write_payment(ours(), TX)
    before = without_ours(mine)
    mine.do("DEL", OURS)
    assert (await books.write_payment(ours(AT + 50), TX)).code == "done"
    assert without_ours(mine) == before
    assert mine.everything()[OURS] == {"pool-1": f"paid:{TX}"}


@pytest.mark.parametrize("mark", ["debited", ""])
@pytest.mark.parametrize("half", ["all", ANN])
async def test_half_a_history_is_completed_and_moves_no_sum_twice(
    mine: Mine, books: PoolBooks, mark: str, half: str
) -> None:
    mine.earn(ANN, 1000)
    mine.debit(ANN, 600, AT)
    mine.pay(ANN, 600, AT + 9, TX)
    before = mine.everything()
    mine.do("DEL", f"eth:payments:{half}")
    if mark:
        mine.do("HSET", OURS, "pool-1", mark)
    assert (await books.write_payment(ours(AT + 50), TX)).code == "done"
    assert without_ours(mine) == before


async def test_what_the_old_modules_resolve_gave_back_is_settled(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(ours())
    old_resolve_credits(mine)
    before = without_ours(mine)
    assert (await books.write_payment(ours(), TX)).code == "row_gone"
    assert (await books.rollback(ours())).code == "done"
    assert without_ours(mine) == before


async def test_what_it_gave_back_and_the_chain_paid_is_taken_off_again_on_proof(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(ours())
    old_resolve_credits(mine)
    assert (await books.write_payment(ours(), TX, again=True)).code == "done"
    assert (mine.sums(ANN), mine.sums("finances")) == ((400, 0, 600), (400, 0, 600))
    assert mine.history(ANN) == [f"{TX}:600"]


async def test_what_a_person_booked_with_another_transaction_is_not_booked_a_second_time(
    mine: Mine, books: PoolBooks
) -> None:
    mine.earn(ANN, 1000)
    await books.debit(ours())
    mine.pay(ANN, 600, AT, OTHER)
    before = without_ours(mine)
    assert await books.write_payment(ours(), TX, again=True) == ("booked", OTHER)
    assert (await books.rollback(ours())).code == "row_gone"
    assert without_ours(mine) == before
    assert (await books.write_payment(ours(), OTHER)).code == "done"
    assert without_ours(mine) == before


async def test_a_row_of_another_second_is_another_payment_once_our_mark_is_gone(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    mine.debit(ANN, 600, AT + 7)
    before = without_ours(mine)
    assert (await books.rollback(ours())).code == "done"
    assert without_ours(mine) == before
    mine.do("DEL", OURS)
    assert (await books.debit(ours(), again=True)).code == "pending"
    assert mine.everything() == before


async def test_a_row_of_its_own_second_is_taken_for_its_own_once_our_mark_is_gone(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    await books.debit(ours())
    before = mine.everything()
    mine.do("DEL", OURS)
    assert (await books.debit(ours(), again=True)).code == "done"
    assert mine.everything() == before


@pytest.mark.parametrize("how", ["paid by hand", "spent"])
async def test_what_the_books_forgot_is_not_taken_off_where_it_was_paid_or_is_not_there(
    mine: Mine, books: PoolBooks, how: str
) -> None:
    mine.earn(ANN, 1000 if how == "paid by hand" else 599)
    if how == "paid by hand":
        mine.do("ZADD", f"eth:payments:{ANN}", AT, f"{OTHER}:600")
    before = mine.everything()
    assert (await books.debit(ours(), again=True)).code == ("booked" if how == "paid by hand" else "short")
    assert mine.everything() == before


def old_resolve_credits(mine: Mine) -> None:
    """Give back as the old module's RESOLVE does."""
    for field, by in (("balance", 600), ("pending", -600)):
        mine.do("HINCRBY", f"eth:miners:{ANN}", field, by)
        mine.do("HINCRBY", "eth:finances", field, by)
    mine.do("ZREM", "eth:payments:pending", f"{ANN}:600")
    mine.do("DEL", "eth:payments:lock")


async def test_friends_books_carry_what_was_kept_back(mine: Mine, link: PoolRedis) -> None:
    books = PoolBooks(link, "eth", Flavour.FRIENDS)
    mine.earn(ANN, 1_000_000)
    paid = line(shannon=900_000, charge=105_000 * 10**9)
    await books.debit(paid)
    await books.write_payment(paid, TX)
    charge = 105_000 * 10**9
    assert mine.history() == [f"{TX}:{ANN}:900000:{charge}"]
    assert mine.history(ANN) == [f"{TX}:900000:{charge}"]
    assert mine.everything()["eth:finances"]["txcharges"] == str(charge)
    assert mine.sums(ANN) == (100_000, 0, 900_000)


async def test_thresholds_of_miners_are_those_of_the_friends_fork(mine: Mine, link: PoolRedis) -> None:
    mine.earn(ANN, 1)
    mine.earn(BOB, 1)
    mine.do("HSET", f"eth:settings:{ANN}", "payoutthreshold", 2_000)
    plain = {one.login: one.threshold for one in await PoolBooks(link, "eth", Flavour.OEP).payees(700)}
    assert plain == {ANN: 2_000, BOB: 700}
    mine.do("HSET", f"eth:settings:{ANN}", "payoutthreshold", 10)
    friends = {one.login: one.threshold for one in await PoolBooks(link, "eth", Flavour.FRIENDS).payees(700)}
    assert friends == {ANN: 700, BOB: 500_000_000}


async def test_a_restored_backup_is_brought_up_to_what_was_paid(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    assert (await books.write_payment(line(), TX)).code == "done"
    assert mine.sums(ANN) == (400, 0, 600)
    assert mine.sums("finances") == (400, 0, 600)
    assert mine.history(ANN) == [f"{TX}:600"]
    assert (await books.write_payment(line(), TX)).code == "already"


async def test_a_backup_from_before_the_debit_needs_no_credit(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    assert (await books.rollback(line())).code == "done"
    assert mine.sums(ANN) == (1000, 0, 0)


async def test_a_payment_that_never_came_goes_back_among_the_pending(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    mine.debit(ANN, 600, 1_462_920_526)
    mine.pay(ANN, 600, 1_462_920_526, TX)
    assert (await books.reopen(line(), OTHER)).code == "row_gone"
    assert (await books.reopen(line(), TX)).code == "done"
    assert (await books.reopen(line(), TX)).code == "already"
    assert (mine.sums(ANN), mine.pending(), mine.history(), mine.history(ANN)) == (
        (400, 600, 0),
        [f"{ANN}:600"],
        [],
        [],
    )
    await books.write_payment(line(), OTHER)
    assert (mine.sums(ANN), mine.history(ANN), mine.lock()) == ((400, 0, 600), [f"{OTHER}:600"], None)


async def test_the_lock_is_only_taken_away_when_nothing_is_pending(mine: Mine, books: PoolBooks) -> None:
    assert (await books.unlock("x")).code == "already"
    mine.do("SET", "eth:payments:lock", f"{ANN}:600")
    assert await books.unlock(f"{ANN}:700") == ("locked", f"{ANN}:600")
    mine.do("ZADD", "eth:payments:pending", 5, f"{BOB}:1")
    assert await books.unlock(f"{ANN}:600") == ("pending", f"{BOB}:1")
    mine.do("ZREM", "eth:payments:pending", f"{BOB}:1")
    assert (await books.unlock(f"{ANN}:600")).code == "done"
    assert mine.lock() is None


async def test_a_missing_row_gets_the_time_of_its_twin(mine: Mine, books: PoolBooks) -> None:
    mine.do("ZADD", "eth:payments:all", 77, f"{TX}:{ANN}:600")
    await books.add_missing(line(), TX)
    assert mine.everything()[f"eth:payments:{ANN}"] == {f"{TX}:600": 77.0}
    assert mine.everything()["eth:payments:all"] == {f"{TX}:{ANN}:600": 77.0}


async def test_a_repair_writes_all_or_nothing(mine: Mine, books: PoolBooks) -> None:
    mine.earn(ANN, 1000)
    before = mine.everything()
    wrong = [(f"eth:miners:{ANN}", "pending", "", 5), ("eth:finances", "balance", "999", 5)]
    assert (await books.repair(wrong)).code == "contradicts"
    assert mine.everything() == before
    right = [(f"eth:miners:{ANN}", "pending", "", 5), ("eth:finances", "balance", "1000", -5)]
    assert (await books.repair(right)).code == "done"
    assert mine.sums(ANN) == (1000, 5, 0)


async def test_a_list_that_cannot_be_read_is_not_an_empty_one(mine: Mine, books: PoolBooks) -> None:
    mine.do("SET", "eth:payments:pending", "x")
    with pytest.raises(Retryable, match="WRONGTYPE"):
        await books.pending()


async def test_miners_are_found_among_many_keys(mine: Mine, books: PoolBooks) -> None:
    logins = [f"0x{number:040x}" for number in range(1, 350)]
    for login in logins:
        mine.do("HSET", f"eth:miners:{login}", "balance", 5)
        mine.do("SET", f"etc:miners:{login}", "of another coin")
    assert await books.logins() == sorted(logins)
    assert len(await books.payees(1)) == 349
