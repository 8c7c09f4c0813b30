"""
BitMEX's refusals, word for word (protocol sheet, section 7; "REST API messages" page).

Every refusal is one `Refusal`: an HTTP status, the text, and the class name that BitMEX puts beside
it. Each is made by a function here, so the words stand in one place.
"""

from __future__ import annotations


class Refusal(Exception):
    """The venue says no, and nothing changed."""

    def __init__(
        self, status: int, message: str, name: str = "HTTPError", details: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.name = name
        self.details = details  # a code of its own, of a CodedHTTPError
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, object]:
        error = {"message": self.message, "name": self.name}
        return {"error": {**error, "details": self.details} if self.details else error}


OVERLOADED = "The system is currently overloaded. Please try again later."
POST_ONLY_CANCELED = "Canceled: Order had execInst of ParticipateDoNotInitiate"
FOK_CANCELED = "Canceled: Order had timeInForce of FillOrKill"
IOC_CANCELED = "Canceled: Order had timeInForce of ImmediateOrCancel"

AUTH_TABLES_NOTE = (
    "Account-locked tables include the following: "
    "account,affiliate,execution,margin,order,position,privateNotifications,transact,wallet"
)
NO_AUTH_FOR_TABLE = (
    "User requested an account-locked subscription but no authorization was provided."
)
UNKNOWN_SYMBOL = "Unknown or expired symbol."
MAX_PENDING = "Max Pending subscription limit reached, please try again later."
_SEE_DOCS = "Please see the documentation at https://www.bitmex.com/app/wsAPI."
UNRECOGNIZED = f"Unrecognized request. See the docs or send 'help' for more details. {_SEE_DOCS}"
TOKEN_NOTE = (
    "Please re-subscribe with a new token to continue receiving messages for this subscription."
)


def already_subscribed(topic: str) -> str:
    return f"You are already subscribed to this topic:{topic}. {_SEE_DOCS}"


def token_expired(topic: str) -> str:
    return f"Access Token expired for subscription: {topic}"


def bad_request(message: str) -> Refusal:
    return Refusal(400, message)


def invalid(message: str) -> Refusal:
    """A refusal by the request's schema rather than by the engine."""
    return Refusal(400, message, "ValidationError")


def required(field: str) -> Refusal:
    return invalid(f"'{field}' is a required arg.")


def bad_parameter(name: str) -> Refusal:
    """A parameter of a table query is not valid (section 7, "GET errors")."""
    return bad_request(f"{name} is invalid")


def bad_filter() -> Refusal:
    return bad_request("filter values are not valid")


def too_many(most: int) -> Refusal:
    return bad_request(
        f"Maximum result count is {most}. Please use the start & count params to paginate."
    )


def not_found(message: str = "Not Found") -> Refusal:
    return Refusal(404, message)


def expired(now_s: int) -> Refusal:
    return Refusal(
        401, f"This request has expired - `expires` is in the past. Current time: {now_s}"
    )


def bad_signature() -> Refusal:
    return Refusal(401, "Signature not valid.")


def bad_key() -> Refusal:
    return Refusal(401, "Invalid API Key.")


def disabled_key() -> Refusal:
    return Refusal(401, "This key is disabled.")


def unauthorized() -> Refusal:
    return Refusal(401, "Authorization Required")


def forbidden() -> Refusal:
    return Refusal(403, "Access Denied")


def wrong_address() -> Refusal:
    return Refusal(403, "This IP address is not allowed to use this key.")


def overloaded() -> Refusal:
    return Refusal(503, OVERLOADED)


def rate_limited(retry_after_s: int) -> Refusal:
    refusal = Refusal(
        429, f"Rate limit exceeded, retry in {retry_after_s} seconds.", "RateLimitError"
    )
    refusal.headers = {"retry-after": str(retry_after_s)}
    return refusal


def insufficient(amount: int, currency: str) -> Refusal:
    """The one refusal that is known to be coded (2025), as ``19000`` (section 7)."""
    message = f"Account has insufficient Available Balance, {amount} {currency} required"
    return Refusal(400, message, "CodedHTTPError", "19000")


def unrecognized(field: str) -> Refusal:
    """A field of a new order that BitMEX does not know (seen in 2026)."""
    return bad_request(
        f'Unrecognized field "{field}" (class NewOrderBean), not marked as ignorable'
    )


def nothing_to_reduce(inst: str, side: str, position: int) -> Refusal:
    return bad_request(
        f"Order had execInst of {inst} and side of {side} but current position is {position}"
    )
