"""What Flutterwave pays: a row for each currency and method, as its pages of 2026 have them.

`bank_code` is its `account_bank`: a bank of the country, or the network of a phone. What it wants in `meta` has names
of ours here; the wire knows its own. Fees and limits are what its pages and samples show; none where they show none.
"""

from collections.abc import Iterable, Mapping, Sequence

from machines.core.accounts import phone_pattern
from machines.core.methods import (
    ACCOUNT,
    BANK,
    BANK_CODE,
    HOLDER,
    MOBILE_MONEY,
    SOMETHING,
    WALLET,
    FeeStep,
    MethodField,
    PayMethod,
)

TEST_V3 = (
    "With a test key it ends only where our reference ends in _PMCK (paid) or _PMCK_ST_F (failed), after ten minutes; "
    "otherwise it stays pending."
)
TEST_MPESA = "Its test mode pays no M-Pesa: try it with live keys and a small amount."

NGN_FEES = (FeeStep("5000", "10.75"), FeeStep("50000", "26.875"), FeeStep("", "53.75"))


def _code(example: str) -> MethodField:
    return MethodField(
        BANK_CODE, "Bank", "the code of a bank of the country", r"[A-Za-z0-9_-]{2,20}", example, listed=True
    )


def _account(says: str, pattern: str, example: str) -> MethodField:
    return MethodField(ACCOUNT, "Account number", says, pattern, example)


def _holder(*, needed: bool = True) -> MethodField:
    return MethodField(
        HOLDER, "Name on the account", "the name that the account is in, in one line", SOMETHING, "Ada Obi", needed
    )


def _line(name: str, label: str, says: str, example: str) -> MethodField:
    return MethodField(name, label, says, SOMETHING, example)


NUMBER = ("4 to 34 letters and digits", r"[A-Za-z0-9+]{4,34}")
BRANCH = MethodField("branch_code", "Branch", "the code of the bank's branch", r"[A-Za-z0-9_-]{1,20}", "GH280103")
BRANCH_IF_ANY = MethodField(
    "branch_code", "Branch", "the code of the bank's branch", r"[A-Za-z0-9_-]{1,20}", "044-1", needed=False
)
COUNTRY = r"[A-Z]{2}"
PHONE = r"\+?[0-9]{7,15}"
EMAIL = r"[^\s@]{1,60}@[^\s@]{1,60}\.[^\s@.]{2,20}"
SENDER = (
    _line("sender_name", "Sender's name", "who sends the money, in one line", "Payflow Ltd"),
    MethodField("sender_country", "Sender's country", "two capital letters (ISO 3166)", COUNTRY, "KE"),
    MethodField("sender_phone", "Sender's phone", "7 to 15 digits", PHONE, "254722000000"),
)
BANK_NAME = _line("bank_name", "Name of the bank", "in one line", "Deutsche Bank")
SWIFT = MethodField(
    "swift_code", "SWIFT code", "8 or 11 capital letters and digits",
    r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", "DEUTDEFF",
)  # fmt: skip
CITY = _line("city", "City", "where they live", "Berlin")
STREET = _line("street", "Street", "where they live, without the number", "Hauptstrasse")
LIVES_IN = MethodField("country", "Country", "two capital letters (ISO 3166)", COUNTRY, "DE")
ZIP = MethodField(
    "postal_code", "Postal code", "2 to 12 letters, digits, spaces and -", r"[A-Za-z0-9 -]{2,12}", "10115"
)
HOUSE = MethodField(
    "street_number", "Number in the street", "1 to 10 letters and digits", r"[A-Za-z0-9 /-]{1,10}", "17b"
)
MAIL = MethodField("email", "Their mail address", "name@example.com", EMAIL, "ada@example.com")

ITSELF = "flutterwave"
"""What stands in the place of a bank where money goes to another merchant's wallet."""
_OF_SENDER = {"sender_name": "sender", "sender_country": "sender_country", "sender_phone": "mobile_number"}
_ABROAD = {
    ACCOUNT: "account_number", "routing_number": "routing_number", "swift_code": "swift_code",
    "bank_name": "bank_name", HOLDER: "beneficiary_name", "country": "beneficiary_country",
}  # fmt: skip
_AT_HOME = {"postal_code": "postal_code", "street_number": "street_number", "street": "street_name", "city": "city"}

COUNTRIES: Mapping[str, tuple[str, ...]] = {
    "NGN": ("NG",), "GHS": ("GH",), "KES": ("KE",), "UGX": ("UG",), "TZS": ("TZ",), "RWF": ("RW",), "ZAR": ("ZA",),
    "XAF": ("CM",), "XOF": ("CI", "SN"),
}  # fmt: skip
"""Whose banks are paid in a currency."""

_NETWORKS = {
    "GHS": ("MTN", "VODAFONE", "TELECEL", "AIRTELTIGO", "AIRTEL", "TIGO"),
    "KES": ("MPS", "MPX"),
    "UGX": ("MTN", "AIRTEL", "MPS"),
    "TZS": ("VODACOM", "AIRTEL", "TIGO", "HALOPESA", "MPS"),
    "RWF": ("MTN", "AIRTEL", "MPS"),
    "ZMW": ("MPS",),
    "XAF": ("MTN", "ORANGEMONEY", "FMM"),
    "XOF": ("MTN", "MOOV", "ORANGE", "ORANGEMONEY", "WAVE", "FMM"),
}
_CALLED = {
    "MPS": "any network", "FMM": "any network", "MPX": "Airtel Money", "VODAFONE": "Vodafone Cash", "MTN": "MTN MoMo",
    "TELECEL": "Telecel Cash", "AIRTELTIGO": "AirtelTigo Money", "AIRTEL": "Airtel Money", "TIGO": "Tigo Pesa",
    "VODACOM": "M-Pesa (Vodacom)", "HALOPESA": "HaloPesa", "ORANGEMONEY": "Orange Money", "ORANGE": "Orange Money",
    "MOOV": "Moov Money", "WAVE": "Wave",
}  # fmt: skip
_PHONES = {
    "GHS": "233241234567", "KES": "254712345678", "UGX": "256772123456", "TZS": "255712345678",
    "RWF": "250788428900", "ZMW": "260961234567", "XAF": "237676064566", "XOF": "2250707070707",
}  # fmt: skip
_MONEY_FEES = {"KES": (FeeStep("", "45"),)}


def _banks() -> Iterable[PayMethod]:
    naira = (_code("044"), _account(*NUMBER, "0690000031"), _holder(needed=False), BRANCH_IF_ANY)
    yield PayMethod("NGN", BANK, naira, TEST_V3, fees=NGN_FEES, resolves=True)
    branches = {
        "GHS": ("GH280100", "1441000565307"), "UGX": ("UG010107", "9030005678901"),
        "TZS": ("TZ020107", "0150234567890"), "RWF": ("RW010104", "4001200345678"),
        "XAF": ("CM010101", "10003003001234567"), "XOF": ("CI010101", "01001012345678901"),
    }  # fmt: skip
    for currency, (code, number) in branches.items():
        fields = (_code(code), _account(*NUMBER, number), _holder(), BRANCH)
        yield PayMethod(currency, BANK, fields, TEST_V3, fees=(FeeStep("", "10"),) if currency == "GHS" else ())
    yield PayMethod("KES", BANK, (_code("68"), _account(*NUMBER, "0690000040"), _holder(), *SENDER), TEST_V3)
    person = (
        _line("first_name", "First name", "as the bank has it", "Ada"),
        _line("last_name", "Last name", "as the bank has it", "Obi"),
        MAIL,
        MethodField("phone", "Their phone", "7 to 15 digits", PHONE, "27821234567"),
        _line("street", "Address", "where they live, in one line", "12 Long Street, Cape Town"),
    )
    digits = _account("6 to 13 digits", "[0-9]{6,13}", "0031625807099")
    yield PayMethod("ZAR", BANK, (_code("FNB"), digits, _holder(), *person), TEST_V3, fees=(FeeStep("", "10"),))


def _overseas() -> Iterable[PayMethod]:
    fees = (FeeStep("", "35"),)
    dollars = (
        _account("4 to 17 letters and digits", r"[A-Za-z0-9]{4,17}", "09182972BH"),
        _holder(),
        MethodField("routing_number", "Routing number", "9 to 13 digits", "[0-9]{9,13}", "021000021"),
        SWIFT, BANK_NAME, _line("street", "Address", "where they live, in one line", "4 Newton, San Francisco"),
        LIVES_IN, MAIL,
        MethodField(
            "account_type", "Kind of account", "checking or depository", "", "checking",
            choices=(("checking", "checking"), ("depository", "savings")),
        ),
    )  # fmt: skip
    yield PayMethod("USD", BANK, dollars, TEST_V3, fees=fees)
    home = (SWIFT, BANK_NAME, LIVES_IN, ZIP, HOUSE, STREET, CITY)
    iban = _account("an IBAN without spaces", r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", "DE89370400440532013000")
    routing = MethodField(
        "routing_number", "Routing number", "6 to 13 letters and digits", "[A-Za-z0-9]{6,13}", "37040044"
    )
    yield PayMethod("EUR", BANK, (iban, _holder(), routing, *home), TEST_V3, fees=fees)
    british = _account("8 digits, or an IBAN without spaces", r"[0-9]{8}|GB[0-9]{2}[A-Z]{4}[0-9]{14}", "31926819")
    sort_code = MethodField("routing_number", "Sort code", "6 digits", "[0-9]{6}", "601613")
    yield PayMethod("GBP", BANK, (british, _holder(), sort_code, *home), TEST_V3, fees=fees)


def _phones() -> Iterable[PayMethod]:
    for currency, networks in _NETWORKS.items():
        called = {"MPS": "M-Pesa"} if currency == "KES" else {}
        network = MethodField(
            BANK_CODE, "Network", f"one of {', '.join(networks)}", "", networks[0],
            choices=tuple((code, called.get(code, _CALLED[code])) for code in networks),
        )  # fmt: skip
        number = MethodField(
            ACCOUNT,
            "Phone number",
            "with the country's code, and without +",
            phone_pattern(currency),
            _PHONES[currency],
        )
        mpesa = currency == "KES"
        fields = (network, number, _holder(), *(SENDER if mpesa else ()))
        ends, fees = TEST_MPESA if mpesa else TEST_V3, _MONEY_FEES.get(currency, ())
        yield PayMethod(currency, MOBILE_MONEY, fields, ends, fees=fees)


def _wallets(currencies: Iterable[str]) -> Iterable[PayMethod]:
    number = MethodField(ACCOUNT, "Merchant id", "4 to 20 digits", "[0-9]{4,20}", "99993068")
    fields = (number, _holder(needed=False))
    yield from (PayMethod(currency, WALLET, fields, TEST_V3, fees=(FeeStep("", "0"),)) for currency in currencies)


def _all() -> Sequence[PayMethod]:
    found = [*_banks(), *_overseas(), *_phones()]
    return (*found, *_wallets(dict.fromkeys(row.currency for row in found)))


META: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("KES", BANK): _OF_SENDER,
    ("KES", MOBILE_MONEY): _OF_SENDER,
    ("ZAR", BANK): {
        "first_name": "first_name", "last_name": "last_name", "email": "email", "phone": "mobile_number",
        "street": "recipient_address",
    },
    ("USD", BANK): _ABROAD | {"street": "beneficiary_address", "email": "email", "account_type": "account_type"},
    ("EUR", BANK): _ABROAD | _AT_HOME,
    ("GBP", BANK): _ABROAD | _AT_HOME,
}  # fmt: skip
"""What of a destination goes into `meta`, and what it is called there."""


def kind_of(currency: str, bank: str) -> str:
    """Tell by where the money went what kind of destination it was: transfers do not say it."""
    if bank == ITSELF:
        return WALLET
    return MOBILE_MONEY if bank in _NETWORKS.get(currency, ()) else BANK


V3 = tuple(_all())
"""What API v3 pays."""

V4 = tuple(row for row in V3 if row.currency not in {"USD", "EUR", "GBP"})
"""What API v4 pays as this adapter speaks it: abroad it wants a sender that was registered before."""
