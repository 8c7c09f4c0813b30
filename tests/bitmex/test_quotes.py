"""The newest prices of a symbol, as a decision gets them."""

from __future__ import annotations

from decimal import Decimal

from reconciler.bitmex import messages
from reconciler.bitmex.quotes import Quotes

AT = "2026-05-20T11:00:00.{:03d}Z"


def trade(price: str, ms: int, size: int = 100, symbol: str = "XBTUSD") -> str:
    return (
        f'{{"symbol":"{symbol}","side":"Buy","size":{size},"price":{price},'
        f'"timestamp":"{AT.format(ms)}"}}'
    )


def test_the_last_price_is_that_of_the_newest_trade() -> None:
    """
    An image that comes late, a row without contracts and a strange symbol leave it alone; whoever
    waits for prices is told of a change, and only of a change.
    """
    quotes = Quotes(("XBTUSD",))

    def take(*rows: str) -> list[str]:
        return quotes.trades(messages.trades(f"[{','.join(rows)}]".encode()))

    def last() -> Decimal | None:
        quoted = quotes.quoted("XBTUSD", 9)
        return None if quoted is None else quoted.last

    assert take(trade("61500.5", 2)) == ["XBTUSD"]
    assert last() is None, "a trade alone is no quote: nothing says how old bid and ask are"
    quotes.take(messages.quotes(b'[{"symbol":"XBTUSD","bidPrice":1,"askPrice":2}]'), 7)
    assert last() == Decimal("61500.5")
    assert take(trade("61500.5", 3)) == []
    assert take(trade("61000", 1)) == []
    assert take(trade("60000", 4, size=0), trade("7", 4, symbol="ETHUSD")) == []
    assert last() == Decimal("61500.5")
    assert take(trade("61501", 3), trade("61501.5", 3)) == ["XBTUSD", "XBTUSD"]
    quoted = quotes.quoted("XBTUSD", 9)
    assert quoted is not None
    assert (quoted.last, quoted.age_us) == (Decimal("61501.5"), 2)
    assert (quoted.bid_contracts, quoted.ask_contracts) == (None, None)
