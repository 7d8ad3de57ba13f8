"""What the simulated Flutterwave knows of countries: their banks, networks, fees, and what a transfer there must bring.

Written from the vendor's pages and from central banks' public lists, and not from our adapter. A fee of nothing stands
where no page and no sample of them shows one.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

CURRENCIES: Mapping[str, str] = {
    "NG": "NGN", "GH": "GHS", "KE": "KES", "UG": "UGX", "TZ": "TZS", "RW": "RWF", "ZM": "ZMW", "ZA": "ZAR",
    "CM": "XAF", "CI": "XOF", "SN": "XOF", "US": "USD", "GB": "GBP",
}  # fmt: skip
NO_DECIMALS = frozenset({"UGX", "RWF", "XAF", "XOF"})
PAID_IN = frozenset({*CURRENCIES.values(), "EUR"})
ABROAD = frozenset({"USD", "EUR", "GBP"})

NETWORKS: Mapping[str, tuple[str, ...]] = {
    "GHS": ("MTN", "VODAFONE", "TELECEL", "AIRTELTIGO", "AIRTEL", "TIGO"),
    "KES": ("MPS", "MPX"),
    "UGX": ("MTN", "AIRTEL", "MPS"),
    "TZS": ("VODACOM", "AIRTEL", "TIGO", "HALOPESA", "MPS"),
    "RWF": ("MTN", "AIRTEL", "MPS"),
    "ZMW": ("MPS",),
    "XAF": ("MTN", "ORANGEMONEY", "FMM"),
    "XOF": ("MTN", "MOOV", "ORANGE", "ORANGEMONEY", "WAVE", "FMM"),
}

_BANKS: Mapping[str, str] = {
    "NG": """
        044 ACCESS BANK NIGERIA|063 ACCESS BANK (DIAMOND)|023 CITIBANK NIGERIA|050 ECOBANK NIGERIA|070 FIDELITY BANK
        |011 FIRST BANK OF NIGERIA|214 FIRST CITY MONUMENT BANK|058 GUARANTY TRUST BANK|030 HERITAGE BANK
        |301 JAIZ BANK|082 KEYSTONE BANK|076 POLARIS BANK|101 PROVIDUS BANK|221 STANBIC IBTC BANK
        |068 STANDARD CHARTERED BANK|232 STERLING BANK|100 SUNTRUST BANK|032 UNION BANK OF NIGERIA
        |033 UNITED BANK FOR AFRICA|215 UNITY BANK|035 WEMA BANK|057 ZENITH BANK|302 TAJ BANK|303 LOTUS BANK
        |103 GLOBUS BANK|104 PARALLEX BANK|105 PREMIUM TRUST BANK|106 SIGNATURE BANK|107 OPTIMUS BANK
        |102 TITAN TRUST BANK|502 RAND MERCHANT BANK|559 CORONATION MERCHANT BANK|501 FSDH MERCHANT BANK
        |562 GREENWICH MERCHANT BANK|561 NOVA MERCHANT BANK|999992 OPAY|999991 PALMPAY|090267 KUDA MICROFINANCE BANK
        |090405 MONIEPOINT MICROFINANCE BANK|120001 9 PAYMENT SERVICE BANK|120002 HOPE PAYMENT SERVICE BANK
        |120003 MOMO PAYMENT SERVICE BANK|120004 SMARTCASH PAYMENT SERVICE BANK|090110 VFD MICROFINANCE BANK
        |090551 FAIRMONEY MICROFINANCE BANK|090325 SPARKLE MICROFINANCE BANK|090175 RUBIES MICROFINANCE BANK
        |090328 EYOWO|100022 GOMONEY|090365 CORESTEP MICROFINANCE BANK""",
    "GH": """
        GH030100 ABSA BANK GHANA|GH280100 ACCESS BANK GHANA|GH080100 AGRICULTURAL DEVELOPMENT BANK
        |GH210100 BANK OF AFRICA|GH140100 CAL BANK|GH340100 CONSOLIDATED BANK GHANA|GH130100 ECOBANK GHANA
        |GH200100 FBNBANK GHANA|GH240100 FIDELITY BANK GHANA|GH170100 FIRST ATLANTIC BANK
        |GH330100 FIRST NATIONAL BANK|GH040100 GCB BANK|GH230100 GUARANTY TRUST BANK GHANA
        |GH050100 NATIONAL INVESTMENT BANK|GH360100 OMNIBSIC BANK|GH180100 PRUDENTIAL BANK|GH110100 REPUBLIC BANK
        |GH090100 SOCIETE GENERALE GHANA|GH190100 STANBIC BANK GHANA|GH020100 STANDARD CHARTERED GHANA
        |GH060100 UNITED BANK FOR AFRICA GHANA|GH100100 UNIVERSAL MERCHANT BANK|GH120100 ZENITH BANK GHANA""",
    "KE": """
        01 KCB BANK|02 STANDARD CHARTERED KENYA|03 ABSA BANK KENYA|07 NCBA BANK|10 PRIME BANK
        |11 CO-OPERATIVE BANK OF KENYA|12 NATIONAL BANK OF KENYA|14 M ORIENTAL BANK|16 CITIBANK KENYA
        |18 MIDDLE EAST BANK|19 BANK OF AFRICA KENYA|23 CONSOLIDATED BANK OF KENYA|25 CREDIT BANK
        |26 ACCESS BANK KENYA|31 STANBIC BANK KENYA|35 AFRICAN BANKING CORPORATION|43 ECOBANK KENYA|49 SPIRE BANK
        |50 PARAMOUNT BANK|51 KINGDOM BANK|53 GUARANTY TRUST BANK KENYA|54 VICTORIA COMMERCIAL|55 GUARDIAN BANK
        |57 I&M BANK|59 DEVELOPMENT BANK OF KENYA|60 SBM BANK|61 HFC|63 DIAMOND TRUST BANK|65 MAYFAIR BANK
        |66 SIDIAN BANK|68 EQUITY BANK|70 FAMILY BANK|72 GULF AFRICAN BANK|74 PREMIER BANK|75 DIB BANK KENYA
        |76 UBA KENYA""",
    "UG": """
        UG010107 ABSA BANK UGANDA|UG020147 BANK OF AFRICA UGANDA|UG130447 BANK OF BARODA UGANDA
        |UG110147 CAIRO BANK UGANDA|UG160147 CENTENARY BANK|UG190147 DFCU BANK|UG050147 DIAMOND TRUST BANK UGANDA
        |UG290147 ECOBANK UGANDA|UG300147 EQUITY BANK UGANDA|UG260147 FINANCE TRUST BANK
        |UG250147 HOUSING FINANCE BANK|UG320147 KCB BANK UGANDA|UG310147 GUARANTY TRUST BANK UGANDA
        |UG220147 I&M BANK UGANDA|UG180147 STANBIC BANK UGANDA|UG080147 STANDARD CHARTERED UGANDA
        |UG240147 TROPICAL BANK|UG270147 UBA UGANDA|UG340147 NCBA BANK UGANDA""",
    "TZ": """
        TZ020107 CRDB BANK|TZ016107 NMB BANK|TZ012107 NBC|TZ014107 STANDARD CHARTERED TANZANIA
        |TZ013107 STANBIC BANK TANZANIA|TZ019107 ABSA BANK TANZANIA|TZ021107 DIAMOND TRUST BANK TANZANIA
        |TZ025107 EXIM BANK TANZANIA|TZ035107 BANK OF AFRICA|TZ036107 I&M BANK TANZANIA|TZ040107 ECOBANK TANZANIA
        |TZ043107 EQUITY BANK TANZANIA|TZ041107 KCB BANK TANZANIA|TZ048107 TCB BANK|TZ031107 AZANIA BANK
        |TZ056107 UBA TANZANIA""",
    "RW": """
        RW010104 BANK OF KIGALI|RW040104 BPR BANK RWANDA|RW070104 ECOBANK RWANDA|RW090104 ACCESS BANK RWANDA
        |RW100104 I&M BANK RWANDA|RW110104 EQUITY BANK RWANDA|RW120104 GT BANK RWANDA|RW130104 NCBA BANK RWANDA
        |RW140104 BANK OF AFRICA RWANDA""",
    "ZA": """
        FNB FIRST NATIONAL BANK|ABSA ABSA BANK|SBSA STANDARD BANK|NEDBANK NEDBANK|CAPITEC CAPITEC BANK
        |TYMEBANK TYMEBANK|INVESTEC INVESTEC BANK|AFRICANBANK AFRICAN BANK|DISCOVERY DISCOVERY BANK
        |BIDVEST BIDVEST BANK|SASFIN SASFIN BANK""",
    "CM": """
        CM010101 AFRILAND FIRST BANK|CM020101 BICEC|CM030101 SOCIETE GENERALE CAMEROUN|CM040101 ECOBANK CAMEROUN
        |CM050101 UBA CAMEROUN|CM060101 SCB CAMEROUN|CM070101 STANDARD CHARTERED CAMEROUN
        |CM080101 BGFI BANK CAMEROUN""",
    "CI": """
        CI010101 SOCIETE GENERALE COTE D'IVOIRE|CI020101 ECOBANK COTE D'IVOIRE|CI030101 NSIA BANQUE|CI040101 BICICI
        |CI050101 SIB|CI060101 BANK OF AFRICA COTE D'IVOIRE|CI070101 UBA COTE D'IVOIRE|CI080101 CORIS BANK""",
    "SN": """
        SN010101 CBAO|SN020101 SOCIETE GENERALE SENEGAL|SN030101 ECOBANK SENEGAL|SN040101 BANK OF AFRICA SENEGAL
        |SN050101 BANQUE ISLAMIQUE DU SENEGAL|SN060101 UBA SENEGAL""",
}


def _read(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace("\n", " ").split("|"):
        code, _, name = " ".join(line.split()).partition(" ")
        yield code, name


BANKS: Mapping[str, Mapping[str, str]] = {country: dict(_read(text)) for country, text in _BANKS.items()}

SENDER = ("meta.sender", "meta.sender_country", "meta.mobile_number")
_ABROAD = (
    "meta.account_number", "meta.routing_number", "meta.swift_code", "meta.bank_name", "meta.beneficiary_name",
    "meta.beneficiary_country",
)  # fmt: skip
_AT_HOME = ("meta.postal_code", "meta.street_number", "meta.street_name", "meta.city")

WANTED: Mapping[tuple[str, str], tuple[str, ...]] = {
    **{(code, "bank"): ("destination_branch_code", "beneficiary_name") for code in ("GHS", "UGX", "TZS", "RWF")},
    **{(code, "bank"): ("destination_branch_code", "beneficiary_name") for code in ("XAF", "XOF")},
    **{(code, "mobile_money"): ("beneficiary_name",) for code in NETWORKS},
    ("KES", "bank"): ("beneficiary_name", *SENDER),
    ("KES", "mobile_money"): ("beneficiary_name", *SENDER),
    ("ZAR", "bank"): (
        "meta.first_name", "meta.last_name", "meta.email", "meta.mobile_number", "meta.recipient_address",
    ),
    ("USD", "bank"): (*_ABROAD, "meta.beneficiary_address", "meta.email", "meta.account_type"),
    ("EUR", "bank"): (*_ABROAD, *_AT_HOME),
    ("GBP", "bank"): (*_ABROAD, *_AT_HOME),
}  # fmt: skip
"""What a transfer must bring besides the account, by currency and kind."""

# Of naira from its samples: 10, 25 and 50 by size, and 7.5 % of tax on each.
_NGN_FEES = ((Decimal(5_000), Decimal("10.75")), (Decimal(50_000), Decimal("26.875")))
_NGN_FEE_ABOVE = Decimal("53.75")
_FEES: Mapping[tuple[str, str], Decimal] = {
    ("GHS", "bank"): Decimal(10),
    ("KES", "mobile_money"): Decimal(45),
    ("ZAR", "bank"): Decimal(10),
    **{(code, "bank"): Decimal(35) for code in ABROAD},
}


def kind_of(currency: str, bank: str) -> str:
    """Tell a wallet of its own and a phone from an account at a bank, by where the money is to go."""
    if bank == "flutterwave":
        return "wallet"
    return "mobile_money" if bank in NETWORKS.get(currency, ()) else "bank"


def fee_of(amount: Decimal, currency: str, kind: str = "bank") -> Decimal:
    """Tell what a transfer costs."""
    if currency == "NGN" and kind != "wallet":
        return next((fee for up_to, fee in _NGN_FEES if amount <= up_to), _NGN_FEE_ABOVE)
    return _FEES.get((currency, kind), Decimal(0))


def bank_name(code: str) -> str:
    """Name a bank by its code, whatever its country."""
    return next((banks[code] for banks in BANKS.values() if code in banks), "")
