"""Several accounts in one configuration: what each gets, and what may never be shared."""

from __future__ import annotations

import pytest

from reconciler.config import load, load_all
from reconciler.errors import ConfigError, ReconcilerError, UsageError

CANARY = "canary-4711"
TWO = """
[limits]
max_order_contracts = 12
[limits.symbol.ETHUSD]
max_order_contracts = 3
[account.alpha]
symbols = ["XBTUSD"]
[account.alpha.limits]
max_order_contracts = 7
[account.beta-2]
symbols = ["ETHUSD"]
environment = "testnet"
policy.passive.start = "inside"
"""


@pytest.fixture
def file(tmp_path):
    """Write a configuration file; its path."""

    def file(text: str, name: str = "reconciler.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return file


def refused(text, file, options=None, **environ) -> ReconcilerError:
    with pytest.raises(ReconcilerError) as caught:
        load([file(text)], options or {}, environ)
    return caught.value


def of(account: str) -> dict[str, str]:
    return {"exchange.account": account}


def test_what_is_said_of_an_account_beats_what_is_said_of_all(file):
    """Also when that of all was written in a stronger place; only the command line is above."""
    path = file(TWO)
    found = load_all([path], {}, {"RECONCILER_LIMITS__MAX_ORDER_CONTRACTS": "99"})
    assert list(found) == ["alpha", "beta-2"]
    alpha, beta = found.values()
    assert alpha.limits.max_order_contracts == 7
    assert beta.limits.max_order_contracts == 99
    assert alpha.core_settings().symbol_limits == {}  # ETHUSD is the other's, and no mistake
    assert beta.core_settings().symbol_limits["ETHUSD"].max_order_contracts == 3
    assert (alpha.exchange.environment, beta.exchange.environment) == ("simulated", "testnet")
    assert beta.core_settings().policies["passive"].start == "inside"
    assert alpha.core_settings().policies["passive"].start == "join"
    assert alpha.origins()["limits.max_order_contracts"] == f"{path}:9"

    options = of("alpha") | {"limits.max_order_contracts": "5"}
    assert load([path], options, {}).limits.max_order_contracts == 5
    variable = {"RECONCILER_ACCOUNT__BETA_2__LIMITS__MAX_ORDER_CONTRACTS": "4"}
    assert load([path], of("beta-2"), variable).limits.max_order_contracts == 4


def test_each_account_has_a_journal_and_a_port_of_its_own(file, tmp_path):
    """The journal is named after the account, beside the common one, and never moves."""
    base = f"[database]\nurl = 'sqlite:///{tmp_path}/books.db'\n"
    one = load([file(base + "[account.a]")], {}, {})
    assert one.database_path == tmp_path / "books-a.db"
    two = load_all([file(f"{base}[account.a]\n[account.b]\napi_key = 'k'")], {}, {})
    assert [c.database_path.name for c in two.values()] == ["books-a.db", "books-b.db"]
    assert [c.listen for c in two.values()] == [("127.0.0.1", 0)] * 2
    own = load([file(f"{base}[account.a]\ndatabase.url = 'sqlite:///x.db'")], {}, {})
    assert own.database_path.name == "x.db"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[account.a]\n[account.b]", "accounts a and b have one key"),
        ("[account.a]\napi_key='k'\n[account.b]\napi_key='k'", "accounts a and b have one key"),
        (("[account.a]\nenvironment='testnet'\napi_key='k'\n"
         "[account.b]\nenvironment='testnet'\nurl='https://testnet.bitmex.com'\napi_key='k'"),
         "accounts a and b have one key"),
        ("[account.a]\ndatabase.url='x.db'\n[account.b]\napi_key='k'\ndatabase.url='x.db'",
         "accounts a and b have one journal"),
        ("api.listen='127.0.0.1:9000'\n[account.a]\n[account.b]\napi_key='k'",
         "accounts a and b have one port"),
        ("[exchange]\napi_key = 'k'\n[account.a]", "is nobody's"),
        ("[exchange]\napi_secret = 'k'\n[account.a]", "is nobody's"),
    ],
)  # fmt: skip
def test_no_two_accounts_share_a_key_a_journal_or_a_port(file, text, says):
    """Two services that send with one key, or write one journal, would fight."""
    assert says in str(refused(text, file, of("a")))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[account.a]\nfoo = 1", "account.a.foo"),
        ("[account.a]\nlimits.max_order_contract = 1",
         "did you mean account.a.limits.max_order_contracts?"),
        ("[account.a]\nlog.level = 'debug'", "account.a.log"),
        ("[account.a]\naccount = 'b'", "account.a.account"),
        ("[account.a__b]", "is no name of an account"),
        ("[account.a--b]", "is no name of an account"),  # no variable could be its own
        ("[account.a-]", "is no name of an account"),
        ("[account.'a b']", "is no name of an account"),
        ("[account.a-b]\n[account.a_b]", "are one name"),
        ("[account.a]\n[account.A]", "are one name"),
        ("account = 1", "is no table"),
        ("[account]\na = 1", "is no table"),
        ("[account.a]\nlimits.max_order_contracts = 0",
         "account a: limits.max_order_contracts = 0"),
        ("[account.a]\n[account.a.limits.symbol.SOLUSD]\nmax_order_contracts = 1",
         "SOLUSD is not in exchange.symbols"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_account_is_told_like_any_other(file, text, says):
    """Names are known at every level, values have their types, whichever account was asked for."""
    error = refused(f"{text}\n", file, of("z"))
    assert isinstance(error, ConfigError) or "none of the accounts" in str(error)
    error = refused(f"{text}\n", file)
    assert says in str(error)
    assert error.exit_code == 3


def test_which_account_is_meant_is_never_guessed(file):
    """The only one, or the one that was named; a variable of an unknown one is a misspelling."""
    two = "[account.a]\n[account.bee]\napi_key = 'k'"
    error = refused(two, file)
    assert isinstance(error, UsageError)
    assert "there are 2 accounts: a, bee" in str(error)
    assert "'c' is none of the accounts" in str(refused(two, file, of("c")))
    path = file(two)
    assert load([path], of("bee"), {}).exchange.account == "bee"
    named = {"RECONCILER_EXCHANGE__ACCOUNT": "bee"}
    assert load([path], {}, named).exchange.account == "bee"
    error = refused(two, file, of("a"), RECONCILER_ACCOUNT__BEEE__API_KEY=CANARY)
    assert "Did you mean bee?" in str(error)
    assert CANARY not in str(error)
    assert load([file("")], of("whatever"), {}).exchange.account == "whatever"  # no tables: a label


def test_a_strategy_of_all_can_be_left_out_of_one_account(file):
    """Switched off there, it may be about symbols that the account does not have."""
    text = """
        [strategy.s]
        class = "EmaCross"
        symbols = ["XBTUSD"]
        bar = "1m"
        [account.a]
        symbols = ["XBTUSD"]
        [account.b]
        api_key = "k"
        symbols = ["ETHUSD"]
    """
    assert "strategy.s.symbols" in str(refused(text, file, of("a")))
    found = load_all([file(f"{text}\nstrategy.s.enabled = false")], {}, {})
    assert {name: config.strategy["s"].enabled for name, config in found.items()} == {
        "a": True,
        "b": False,
    }


def test_a_key_is_of_one_account(file, tmp_path):
    """Neither the common variables nor another account's key is ever tried for it."""
    path = file('[account.a]\nenvironment = "testnet"\n[account.b]\nenvironment = "testnet"\n')
    common = {"BITMEX_TESTNET_API_KEY": "common", "BITMEX_TESTNET_API_SECRET": "common"}
    own = {"RECONCILER_ACCOUNT__A__API_KEY": "ka", "RECONCILER_ACCOUNT__A__API_SECRET": "sa"}
    assert load([path], of("a"), common | own).credentials() == ("ka", "sa")
    with pytest.raises(ConfigError, match="RECONCILER_ACCOUNT__B__API_KEY"):
        load([path], of("b"), common | own).credentials()


def test_secret_files_are_read_beside_the_configuration_if_nobody_else_can(file, tmp_path):
    """A folder named by the file, one secret a file; one that others may read is refused."""
    path = file('[secrets]\ndirectory = "keys"\n[account.my-a]\nenvironment = "testnet"\n')
    folder = tmp_path / "keys"
    assert "cannot be read" in str(refused(path.read_text(), file))
    folder.mkdir()
    for name in ("api_key", "api_secret"):
        secret = folder / f"reconciler_account__my_a__{name}"
        secret.write_text(f"{CANARY}-{name}\n")
        secret.chmod(0o600)
    config = load([path], {}, {})
    assert config.credentials() == (f"{CANARY}-api_key", f"{CANARY}-api_secret")
    assert CANARY not in repr(list(config.rows()))
    secret.chmod(0o640)
    error = refused(path.read_text(), file)
    assert "can be read by others than its owner" in str(error)
    assert CANARY not in str(error)
