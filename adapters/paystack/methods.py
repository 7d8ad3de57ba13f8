"""What Paystack pays: a row for each currency and method, as its pages of 2026 have them.

It writes phones as people of the country dial them, unlike others. Its recipients have a type for each country's banks.
"""

from collections.abc import Mapping

from machines.core.methods import (
    ACCOUNT,
    BANK,
    BANK_CODE,
    HOLDER,
    MOBILE_MONEY,
    SOMETHING,
    FeeStep,
    MethodField,
    PayMethod,
)

TEST = "With a test key each transfer ends by itself, as paid, and nothing reaches anybody."

RECIPIENTS: Mapping[tuple[str, str], str] = {
    ("NGN", BANK): "nuban",
    ("GHS", BANK): "ghipss",
    ("KES", BANK): "kepss",
    ("ZAR", BANK): "basa",
    ("GHS", MOBILE_MONEY): "mobile_money",
    ("KES", MOBILE_MONEY): "mobile_money",
}
"""What it calls the recipients of a row."""


PHONES = frozenset({"MTN", "VOD", "ATL", "MPESA"})
"""The networks: by these codes a transfer that is listed is one to a phone."""


def _bank(example: str) -> MethodField:
    return MethodField(
        BANK_CODE, "Bank", "the code of a bank of the country", r"[A-Za-z0-9_-]{2,20}", example, listed=True
    )


def _network(*choices: tuple[str, str]) -> MethodField:
    codes = ", ".join(code for code, _ in choices)
    return MethodField(BANK_CODE, "Network", f"one of {codes}", "", choices[0][0], choices=choices)


def _account(example: str) -> MethodField:
    return MethodField(ACCOUNT, "Account number", "4 to 34 letters and digits", r"[A-Za-z0-9+]{4,34}", example)


def _phone(example: str) -> MethodField:
    return MethodField(ACCOUNT, "Phone number", "ten digits, as it is dialled in the country", "0[0-9]{9}", example)


def _holder(*, needed: bool) -> MethodField:
    return MethodField(
        HOLDER, "Name on the account", "the name that the account is in, in one line", SOMETHING, "Ada Obi", needed
    )


# An older version sent it for naira, where it says nothing.
_BRANCH = MethodField(
    "branch_code", "Branch", "the code of the bank's branch", r"[A-Za-z0-9_-]{1,20}", "044-1", needed=False
)

METHODS = (
    PayMethod(
        "NGN", BANK, (_bank("044"), _account("0690000031"), _holder(needed=False), _BRANCH), TEST,
        fees=(FeeStep("5000", "10"), FeeStep("50000", "25"), FeeStep("", "50")), resolves=True,
    ),
    PayMethod(
        "GHS", BANK, (_bank("040100"), _account("1441000565307"), _holder(needed=True)), TEST,
        fees=(FeeStep("", "8"),), resolves=True,
    ),
    PayMethod(
        "GHS", MOBILE_MONEY,
        (
            _network(("MTN", "MTN MoMo"), ("VOD", "Telecel Cash"), ("ATL", "AirtelTigo Money")),
            _phone("0551234987"), _holder(needed=True),
        ),
        TEST, fees=(FeeStep("", "1"),), resolves=True,
    ),
    PayMethod(
        "KES", BANK, (_bank("68"), _account("0690000040"), _holder(needed=True)), TEST, maximum="999999",
        fees=(FeeStep("10000", "80"), FeeStep("50000", "120"), FeeStep("", "140")),
    ),
    PayMethod(
        "KES", MOBILE_MONEY, (_network(("MPESA", "M-Pesa")), _phone("0712345678"), _holder(needed=True)), TEST,
        maximum="250000", fees=(FeeStep("1500", "20"), FeeStep("20000", "40"), FeeStep("", "60")),
    ),
    PayMethod(
        "ZAR", BANK, (_bank("632005"), _account("4051234567"), _holder(needed=True)), TEST, fees=(FeeStep("", "3"),)
    ),
)  # fmt: skip
