"""Contacts that providers name themselves: taken apart, and written anew from parts that we know.

A URL of Apprise does more than its service needs: a query names files and addresses to read (`template=`), time limits,
headers. Of what a provider wrote only the service, and the words and channels that it asks for, are taken over.
"""

import re
from urllib.parse import quote

MAIL = r"mailto:[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
_WORD = r"[A-Za-z0-9_.:+-]+"
# Only services whose host nobody chooses: our servers must not be made to call somebody else's.
CHAT = rf"(tgram|slack|discord|pover|pbul)://{_WORD}(@{_WORD})?(/[@#+]?{_WORD}(@{_WORD})?)*/?"
PATTERN = rf"^({MAIL}|{CHAT})$"
LONGEST = 256

_CONTACT = re.compile(rf"{MAIL}|{CHAT}")


def rebuilt(contact: str) -> str:
    """Write a provider's contact anew; empty for one that they may not name.

    The query of one that was kept by an earlier version is left behind: the service hears us without it.
    """
    bare = contact.partition("?")[0]
    if len(contact) > LONGEST or not _CONTACT.fullmatch(bare):
        return ""
    kind, _, rest = bare.partition(":")
    if not rest.startswith("//"):
        return bare
    parts = [part for part in rest[2:].split("/") if part]
    if any(not part.strip(".") for part in parts):
        return ""  # no way up
    return f"{kind}://{'/'.join(quote(part, safe='@#:+') for part in parts)}"
