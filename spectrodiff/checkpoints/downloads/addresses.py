"""Addresses of downloads as they may be shown: without passwords and signatures."""

import re

_USER = re.compile(r"(?<=://)[^/?#]*@")
# A value of a query, which in signed addresses is a key.
_VALUE = re.compile(r"(?<=[?&])([^=&#]*=)?[^&#]+")
_HIDDEN = "***"


def shown(text: str) -> str:
    """Returns an address, or a sentence with one at its end, without what may be secret in it.

    Hidden are the user and password before the host, and the values of the query.
    """
    before, mark, query = _USER.sub(f"{_HIDDEN}@", text).partition("?")
    return before + _VALUE.sub(rf"\g<1>{_HIDDEN}", mark + query)
