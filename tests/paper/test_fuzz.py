"""Rubbish of every kind: the venue answers it, and stands."""

import json
from urllib.parse import urlencode
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.paper.auth import sign
from reconciler.paper.floor import sum_of_contracts
from reconciler.paper.routes import ROUTES
from reconciler.paper.spec import PARAMETERS
from reconciler.paper.web import Answer, Request
from reconciler.paper.world import World
from tests.paper.conftest import NOW

NAMES = [*PARAMETERS, "_format", "targetAccountId", "columns[]"]
HONEST = [
    "XBTUSD",
    "ETHUSD",
    "xbtusdt",
    "Buy",
    "Sell",
    "Limit",
    "Market",
    "Close",
    "ReduceOnly",
    "ParticipateDoNotInitiate",
    "all",
    "ImmediateOrCancel",
    "FillOrKill",
    "Day",
    "100",
    "-300",
    "61250.5",
    "a",
    "b",
    "true",
    "{}",
    "[]",
    '["price"]',
    '{"open":true}',
    '{"timestamp.hh":4}',
    "2026-05-20",
    "null",
    "NaN",
    "1e999",
    "-0",
    "1m",
    "1d",
    "csv",
    "xml",
    "XBT",
    "xbt:quarterly",
    ".BXBT",
    "2026-05-20T10:58:00.000Z",
    '{"timestamp.ww":6,"side":["Buy"]}',
    '{"timestamp.time":"11:00"}',
]
values = st.one_of(
    st.sampled_from(HONEST), st.none(), st.booleans(), st.integers(), st.text(max_size=8),
    st.sampled_from([100, 300, -100, 61250.5, 0, 1e-9, 1e30]), st.lists(st.text(max_size=3)),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)  # fmt: skip
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=7)
order_likes = st.fixed_dictionaries(
    {"symbol": st.sampled_from(["XBTUSD", "ETHUSD"]), "orderQty": st.sampled_from([100, -300, 1])},
    optional=dict.fromkeys(("price", "clOrdID", "execInst", "timeInForce", "text"), values),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(ROUTES)), bodies | order_likes), max_size=12))
def test_no_request_breaks_the_venue(requests):
    """Any fields on any route are answered in the form asked for, and contracts sum to zero."""
    world = World(
        seed=1, symbols=("XBTUSD", "ETHUSD"), now_ms=NOW, later=lambda delay, action: None,
        rate_limits=False,
    )  # fmt: skip
    for (verb, path), fields in requests:
        query = urlencode(fields) if verb == "GET" else ""
        body = b"" if query else json.dumps(fields).encode()
        target = f"{path}?{query}"
        credentials = {
            "api-key": "sim-key", "api-expires": "99999999999",
            "api-signature": sign("sim-secret", verb, target, "99999999999", body),
        }  # fmt: skip
        request = Request(
            verb=verb, path=path, target=target, query=query, headers=credentials, body=body,
            address="",
        )  # fmt: skip
        answer = world.api.admit(request, NOW)
        if not isinstance(answer, Answer):
            answer = world.api.act(answer, NOW)
        assert answer.status in (200, 400, 404), answer.body
        if answer.content_type.startswith("application/json"):
            parsed = json.loads(answer.body)
            assert answer.status == 200 or {"message", "name"} <= set(parsed["error"])
        elif answer.content_type.startswith("application/xml"):
            ElementTree.fromstring(answer.body)
    for symbol in ("XBTUSD", "ETHUSD"):
        assert sum_of_contracts(world.exchange, symbol) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.fixed_dictionaries(
                {"op": st.sampled_from(["subscribe", "unsubscribe", "authKeyExpires",
                                        "cancelAllAfter", "ping", "help"])},
                optional={"args": values | st.lists(st.sampled_from(
                    ["order", "trade:XBTUSD", "orderBookL2_25", "instrument:CONTRACTS", "margin",
                     "chat", "quote:", ":", "tradeBin1m:XBTUSD"]))},
            ).map(json.dumps),
        ),
        max_size=12,
    ),
    st.booleans(),
)  # fmt: skip
def test_no_message_breaks_a_session(messages, signed_in):
    """Any message is answered in JSON, or by pong; one that names no topic has no answer."""
    world = World(seed=1, symbols=("XBTUSD",), now_ms=NOW, later=lambda delay, action: None)
    session = world.hub.open(lambda: None)
    if signed_in:
        session.sign_in(
            {"api-key": "sim-key", "api-expires": "99999999999",
             "api-signature": sign("sim-secret", "GET", "/realtime", "99999999999")}, NOW,
        )  # fmt: skip
    for message in messages:
        session.receive(message, NOW)
        frames = session.take()
        assert frames or session.closing or json.loads(message).get("args") in (None, [])
        for frame in frames:
            assert frame == b"pong" or json.loads(frame)
