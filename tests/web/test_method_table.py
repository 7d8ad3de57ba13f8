"""Which rail pays what, for whom: the settings choose, what they do not say is chosen for them, nonsense is refused."""

from collections.abc import Mapping

import pytest

from adapters.ethereum.methods import methods as lane_methods
from adapters.flutterwave.methods import V3
from adapters.paystack.methods import METHODS
from machines.core.currencies import CURRENCIES, assets_with
from machines.core.errors import BadInput, BadSettings
from machines.core.money import ETH, Asset, Assets
from machines.core.ports import Destination
from payflow.config import load
from payflow.desk.gateways import Gateway
from payflow.desk.methods import MethodTable
from payflow.desk.names import HolderCache
from payflow.store.seals import Seals, new_key

BOTH: Mapping[str, Gateway] = {"flutterwave": Gateway(methods=V3), "paystack": Gateway(methods=METHODS)}
BOOKS = Assets((ETH, *assets_with(())))


def table(gateways: Mapping[str, Gateway] = BOTH, books: Assets = BOOKS, **settings: object) -> MethodTable:
    return MethodTable(gateways, load({}, **settings), books, Seals([new_key()]))


def rails(found: MethodTable, platform: str = "") -> dict[str, str]:
    return {route.row.name: route.rail for route in found.routes(platform)}


def test_without_a_word_the_usual_rail_pays_and_another_one_what_it_cannot() -> None:
    assert set(rails(table()).values()) == {"flutterwave"}
    found = rails(table(payout_rail="paystack"))
    assert {name for name, rail in found.items() if rail == "paystack"} == {row.name for row in METHODS}
    assert found["UGX mobile_money"] == "flutterwave"


def test_the_settings_choose_by_currency_by_method_and_by_platform() -> None:
    chosen = {"GHS": "paystack", "GHS bank": "flutterwave", "shop~NGN bank": "paystack", "shop~GHS": "flutterwave"}
    found = table(payout_rails=chosen)
    assert found.by_platform
    usual, shops = rails(found), rails(found, "shop")
    assert (usual["GHS mobile_money"], usual["GHS bank"], usual["NGN bank"]) == (
        "paystack",
        "flutterwave",
        "flutterwave",
    )
    assert (shops["GHS mobile_money"], shops["GHS bank"], shops["NGN bank"]) == (
        "flutterwave",
        "flutterwave",
        "paystack",
    )
    assert rails(found, "rival") == usual
    # What a rail that was chosen for a currency cannot do goes on as before.
    assert usual["GHS wallet"] == "flutterwave"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"GHS": "stripe"}, "not set up here"),
        ({"UGX": "paystack"}, "paystack does not pay UGX"),
        ({"NGN mobile_money": "flutterwave"}, "does not pay NGN by mobile_money"),
        ({"naira": "paystack"}, "write `GHS bank`"),
        ({"a~b~NGN": "paystack"}, "write `GHS bank`"),
        ({"NGN  bank": "paystack"}, "write `GHS bank`"),
        ({"": "paystack"}, "write `GHS bank`"),
    ],
)
def test_a_choice_that_chooses_nothing_is_refused_at_the_start(chosen: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        table(payout_rails=chosen)


def test_what_is_not_paid_is_said_with_what_is() -> None:
    with pytest.raises(BadInput, match=r"^NGN cannot be paid by mobile_money: use bank or wallet"):
        table().route("NGN", "mobile_money")
    with pytest.raises(BadInput, match=r"^'pigeon' is no way to be paid here: use bank or mobile_money or wallet"):
        table().route("NGN", "pigeon")
    with pytest.raises(BadInput, match="use nothing yet"):
        table({}).route("NGN", "bank")


def test_a_lane_pays_under_its_own_name_alone_and_another_lane_pays_nobody() -> None:
    lanes = {"ethereum": Gateway(methods=lane_methods(["USDC"])), "pool": Gateway(methods=lane_methods(["USDT"]))}
    assert rails(table(lanes)) == {"ETH ethereum": "ethereum", "USDC ethereum": "ethereum"}


def test_a_token_that_is_called_like_a_currency_is_not_what_gateways_pay() -> None:
    mine = Assets((ETH, *assets_with([Asset("USD", 6)])))
    assert "USD bank" in rails(table())
    assert not any(name.startswith("USD") for name in rails(table(books=mine)))
    assert {name[:3] for name in rails(table(books=mine))} == CURRENCIES.keys() - {"USD"}


async def test_whose_an_account_is_is_asked_once_an_hour_and_a_refusal_again() -> None:
    asked: list[str] = []

    async def resolve(to: Destination, currency: str) -> str:
        asked.append(f"{currency} {to['account_number']}")
        if to["account_number"] == "0":
            raise BadInput("no")
        return "ADA OBI"

    cache = HolderCache(Seals([new_key()]))
    one, none = (Destination("bank", (("bank_code", "044"), ("account_number", number))) for number in ("1", "0"))
    again = Destination("bank", (*one.fields, ("account_name", "Ada")))
    for now, to in ((0, one), (3_599_999, again), (3_600_000, one)):
        assert await cache.ask(resolve, to, "NGN", now) == "ADA OBI"  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(BadInput):
            await cache.ask(resolve, none, "NGN", 0)  # type: ignore[arg-type]
    await cache.ask(resolve, one, "GHS", 3_600_000)  # type: ignore[arg-type]
    assert asked == ["NGN 1", "NGN 1", "NGN 0", "NGN 0", "GHS 1"]
