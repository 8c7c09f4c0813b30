"""The configuration: precedence, misspelt names at every level, exact numbers, hidden secrets."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from reconciler.config import AppConfig, load, names_of
from reconciler.errors import ConfigError

CANARY = "canary-4711"


def refused(**given) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(**{"environ": {}, **given})
    return caught.value


@pytest.fixture
def file(tmp_path):
    """Write a configuration file; its path."""

    def file(text: str, name: str = "reconciler.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return file


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("[exchnge]\n", "exchnge", "exchange"),
        ("[limits]\nmax_order_contract = 5", "limits.max_order_contract",
         "limits.max_order_contracts"),
        ("limits.max_order_contract = 5", "limits.max_order_contract",
         "limits.max_order_contracts"),
        ("[limits.symbol.XBTUSD]\nmax_position_contract = 5",
         "limits.symbol.XBTUSD.max_position_contract",
         "limits.symbol.XBTUSD.max_position_contracts"),
        ("[policy.mine]\nstrat = 'join'", "policy.mine.strat", "policy.mine.start"),
        ("[reconcile]\non_stopp = 'keep'", "reconcile.on_stopp", "reconcile.on_stop"),
        ("[database]\nurll = 'x'", "database.urll", "database.url"),
        ("[api]\nlistn = 'x'", "api.listn", "api.listen"),
        ("[log]\nlevl = 'x'", "log.levl", "log.level"),
        ("top = 1", "top", None),
        ("[notify]\nurls = []", "notify", None),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_an_error_at_every_level(file, text, wrong, near):
    """File, line and the nearest known name are told; without a near one, those that there are."""
    path = file(text)
    error = refused(files=[path])
    assert str(error).startswith(f"{wrong} ({path}:")
    assert "is not a setting" in str(error)
    assert (f"did you mean {near}?" if near else "known are: ") in str(error)
    assert error.exit_code == 3


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("RECONCILER_LIMTS__MAX_ORDER_CONTRACTS", "RECONCILER_LIMITS"),
        ("RECONCILER_LIMITS__MAX_ORDER_CONTRACT", "RECONCILER_LIMITS__MAX_ORDER_CONTRACTS"),
        ("RECONCILER_LIMITS_MAX_ORDER_CONTRACTS", "RECONCILER_LIMITS__MAX_ORDER_CONTRACTS"),
        ("RECONCILER_LIMITS__SYMBOL__XBTUSD__MAX_ORDR_CONTRACTS",
         "RECONCILER_LIMITS__SYMBOL__XBTUSD__MAX_ORDER_CONTRACTS"),
        ("RECONCILER_LIMITS", "RECONCILER_LIMITS__MAX_POSITION_CONTRACTS"),
    ],
)  # fmt: skip
def test_a_misspelt_variable_is_an_error_too(variable, near):
    """A limit that was misspelt is no limit, wherever it was written."""
    error = refused(environ={variable: "5"})
    assert variable in str(error)
    assert f"did you mean {near}?" in str(error)


def test_variables_that_platforms_make_are_left_alone():
    """A service called reconciler gives others RECONCILER_PORT and the like."""
    theirs = {"RECONCILER_PORT": "tcp://10.0.0.1:8764", "RECONCILER_SERVICE_HOST": "10.0.0.1"}
    assert load(environ=theirs) == load(environ={})


def test_the_first_place_wins(file, tmp_path):
    """Command line, environment, secrets directory, later file, earlier file, default."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    name = "limits.max_order_contracts"
    first = file("[limits]\nmax_order_contracts = 11\nmax_orders_per_minute = 5", "a.toml")
    second = file("[limits]\nmax_order_contracts = 12", "b.toml")
    credentials = {"CREDENTIALS_DIRECTORY": str(secrets)}
    variable = {"RECONCILER_LIMITS__MAX_ORDER_CONTRACTS": "14"}
    tries = [
        (load(environ={}), 1000),
        (load([first], environ={}), 11),
        (load([first, second], environ={}), 12),
    ]
    (secrets / "reconciler_limits__max_order_contracts").write_text("13\n")
    tries += [
        (load([first, second], environ=credentials), 13),
        (load([first, second], environ=credentials | variable), 14),
        (load([first], {name: "15"}, credentials | variable), 15),
    ]
    assert [config.limits.max_order_contracts for config, _ in tries] == [n for _, n in tries]
    origins = [config.origins().get(name, "default") for config, _ in tries]
    assert origins == [
        "default", f"{first}:2", f"{second}:2",
        str(secrets / "reconciler_limits__max_order_contracts"), *variable, "command line",
    ]  # fmt: skip
    assert tries[-1][0].limits.max_orders_per_minute == 5  # what nobody overrode stays


def test_a_file_is_found_where_it_belongs(file, tmp_path, monkeypatch):
    """RECONCILER_CONFIG, else ./reconciler.toml, else the XDG folder; a named file must exist."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xdg" / "reconciler").mkdir(parents=True)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    file("[log]\nlevel = 'debug'", "xdg/reconciler/config.toml")
    assert load(environ=environ).log.level == "debug"
    file("[log]\nlevel = 'warning'")
    assert load(environ=environ).log.level == "warning"
    named = file("[log]\nlevel = 'error'", "other.toml")
    assert load(environ=environ | {"RECONCILER_CONFIG": str(named)}).log.level == "error"
    assert "No such file" in str(refused(environ={"RECONCILER_CONFIG": "/nowhere.toml"}))
    assert "No such file" in str(refused(files=[tmp_path / "nowhere.toml"]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[limits]\nmax_order_contracts = '5'", "must be a whole number"),
        ("[limits]\nmax_order_contracts = 5.0", "must be a whole number"),
        ("[limits]\nmax_order_contracts = true", "must be a whole number"),
        ("[limits]\nmax_order_contracts = -5", "must be greater than or equal to 1"),
        ("[limits]\nmax_order_contracts = 0", "must be greater than or equal to 1"),
        ("[limits]\nstale_price_s = 'soon'", "must be a number of seconds"),
        ("[limits]\nstale_price_s = nan", "must be a number of seconds"),
        ("[limits]\nsymbol = 5", "limits.symbol"),
        ("limits = 5", "limits"),
        ("[exchange]\nenvironment = 'life'", "must be 'simulated', 'testnet' or 'live'"),
        ("[exchange]\nsymbols = []", "exchange.symbols"),
        ("[exchange]\nsymbols = ['xbtusd']", "must be symbols in capitals"),
        ("[exchange]\nsymbols = ['XBTUSD', 'XBTUSD']", "has XBTUSD twice"),
        ("[exchange]\nurl = 'ftp://x'", "must be an address"),
        ("[exchange]\nurl = 'http://example.com'", "must begin with https://"),
        ("[exchange]\nurl = 'https://www.bitmex.com'", "url is BitMEX's live"),
        ("[exchange]\nenvironment = 'testnet'\nurl = 'https://www.bitmex.com'", "BitMEX's live"),
        ("[exchange]\nrest_timeout_s = 61", "less than or equal to 60"),
        ("[limits.symbol.SOLUSD]\nmax_order_contracts = 5", "SOLUSD is not in exchange.symbols"),
        ("[reconcile]\ndefault_policy = 'yolo'", "is none of passive, urgent"),
        (
            "[reconcile]\nforeign_orders = 'shoot'",
            "must be 'count', 'ignore', 'cancel' or 'freeze'",
        ),
        ("[api]\nlisten = '0.0.0.0:8764'", "must be on this machine"),
        ("[api]\nlisten = '127.0.0.1'", "must be HOST:PORT"),
        ("[api]\nlisten = '127.0.0.1:99999'", "must have a port from 0 to 65535"),
        ("[database]\nurl = 'mysql://u:canary-4711@h/d'", "begins with mysql://"),
        ("[database]\nurl = 'sqlite:///:memory:'", "names no file"),
        ("[database\n", "is not TOML"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(file, text, says):
    """One sentence with the setting, the file and what it may be."""
    path = file(text)
    error = refused(files=[path])
    assert says in str(error)
    assert CANARY not in str(error)
    assert "\n" not in error.message or "TOML" in error.message


def test_numbers_stay_exact_on_their_way_to_the_core(file):
    """Seconds become whole microseconds; overrides fall back to the general limit."""
    path = file(
        """
        [exchange]
        symbols = ["XBTUSD", "ETHUSD"]
        dead_man_s = 0.000001
        [limits]
        max_position_contracts = 777
        stale_price_s = 0.1
        [limits.symbol.ETHUSD]
        max_order_contracts = 5
        [policy.passive]
        reprice_after_s = 2.5
        [policy.mine]
        start = "cross"
        [reconcile]
        default_policy = "mine"
        in_flight_deadline_s = 1.5
        """
    )
    settings = load([path], environ={}).core_settings()
    assert settings.dead_man_us == 1
    assert settings.limits.stale_price_us == 100_000
    assert settings.limits_of("ETHUSD").max_order_contracts == 5
    assert settings.limits_of("ETHUSD").max_position_contracts == 777
    assert settings.limits_of("XBTUSD").max_order_contracts == 1000
    assert settings.policies["passive"].reprice_after_us == 2_500_000
    assert settings.policies["passive"].start == "join"
    assert settings.policies["mine"].start == "cross"
    assert settings.timing.in_flight_deadline_us == 1_500_000


def test_text_of_the_environment_becomes_what_the_setting_is():
    """Lists by commas, numbers by digits, in variables only."""
    config = load(
        environ={
            "RECONCILER_EXCHANGE__SYMBOLS": "XBTUSD, SOLUSD",
            "RECONCILER_LIMITS__STALE_PRICE_S": "2.5",
            "RECONCILER_LIMITS__SYMBOL__SOLUSD__MAX_ORDER_CONTRACTS": "7",
        }
    )
    assert config.exchange.symbols == ("XBTUSD", "SOLUSD")
    assert config.limits.stale_price_s == Decimal("2.5")
    assert config.core_settings().limits_of("SOLUSD").max_order_contracts == 7


def test_each_environment_has_its_own_credentials():
    """A testnet key is never tried at the real exchange, nor the other way round."""
    both = {
        "BITMEX_API_KEY": "real", "BITMEX_API_SECRET": "real-secret",
        "BITMEX_TESTNET_API_KEY": "test", "BITMEX_TESTNET_API_SECRET": "test-secret",
    }  # fmt: skip
    found = {
        name: load(environ=both | {"RECONCILER_EXCHANGE__ENVIRONMENT": name}).credentials()
        for name in ("simulated", "testnet", "live")
    }
    assert found == {
        "simulated": ("sim-key", "sim-secret"),
        "testnet": ("test", "test-secret"),
        "live": ("real", "real-secret"),
    }
    with pytest.raises(ConfigError, match=r"exchange\.api_key is not set, and live needs it"):
        load(environ={"RECONCILER_EXCHANGE__ENVIRONMENT": "live"}).credentials()


def test_secrets_are_shown_nowhere(file, run, monkeypatch):
    """Not in repr, in no error, and in no output of `config`."""
    path = file(f"[exchange]\napi_key = '{CANARY}-key'\napi_secret = '{CANARY}'\n")
    config = load([path], environ={})
    assert CANARY not in repr(config) + str(config) + repr(list(config.rows()))
    assert set(config.hidden) == {f"{CANARY}-key", CANARY}
    for words in (("config", "check"), ("config", "show"), ("config", "path"), ("run", "--live")):
        for form in ("table", "json"):
            ended = run("-c", str(path), *words, "-o", form, "-vv")
            assert CANARY not in ended.out + ended.err
    strategy = "[strategy.one]\nclass = 'random'\nsymbols = ['XBTUSD']\n[strategy.one.parameters]\n"
    called = file(
        f"{strategy}seed = 5\nAPI_Token = '{CANARY}'\nhosts = [{{ password = '{CANARY}' }}]\n"
        f"[strategy.one.parameters.mail]\npass_phrase = '{CANARY}'\nto = 'ann'\n",
        "called.toml",
    )
    config = load([called], environ={})
    assert (config.hidden, config.strategy["one"].parameters["API_Token"]) == (
        (CANARY,) * 3,
        CANARY,
    )
    for words in (("config", "show"), ("strategies", "check")):
        for form in ("table", "json"):
            ended = run("-c", str(called), *words, "-o", form)
            assert CANARY not in ended.out + ended.err
            assert "**********" in ended.out or words[0] == "strategies"
    broken = file(f"[exchange]\napi_secret = ['{CANARY}']\n", "broken.toml")
    assert CANARY not in run("-c", str(broken), "config", "check", "-vv").err
    monkeypatch.setenv("RECONCILER_EXCHANGE__API_SECRETT", CANARY)
    ended = run("config", "check", "-vv")
    assert ended.code == 3
    assert CANARY not in ended.err


def test_config_show_tells_where_each_value_came_from(file, run):
    """A value, and a file with its line, a variable, or the default."""
    path = file("[limits]\n\nmax_order_contracts = 12\n")
    shown = run("-c", str(path), "config", "show").out
    assert "limits.max_order_contracts = 12" in shown
    assert f"{path}:3" in shown
    rows = {row["name"]: row for row in json.loads(run("config", "show", "-o", "json").out)}
    assert rows["exchange.environment"]["origin"] == "default"


def test_config_check_ends_with_three_when_something_is_wrong(file, run, tmp_path):
    """The check is what `run` would say, without running."""
    assert run("-c", str(file("")), "config", "check").code == 0
    ended = run("-c", str(file("[limts]")), "config", "check")
    assert (ended.code, ended.out) == (3, "")
    assert "did you mean limits?" in ended.err
    ended = run("-c", str(file(f"[database]\nurl = '{tmp_path}'")), "config", "check")
    assert (ended.code, ended.out) == (3, "")
    assert f"{tmp_path}, which is a folder" in ended.err


def test_a_mark_that_an_editor_puts_before_the_text_is_no_text(file, run):
    """UTF-8 with a byte order mark is UTF-8."""
    path = file("\ufeff[limits]\nmax_order_contracts = 12\n")
    assert "limits.max_order_contracts = 12" in run("-c", str(path), "config", "show").out


def test_every_setting_is_one_that_something_uses():
    """The settings that there are. One that nothing reads would promise what nobody keeps."""

    def leaves(names, path=()):
        for name, behind in names.items():
            if behind is None:
                yield ".".join((*path, name))
            else:
                yield from leaves(behind, (*path, name))

    known = """
        api.listen database.durability database.url exchange.account exchange.api_key
        exchange.api_secret exchange.dead_man_s exchange.environment exchange.rest_timeout_s
        exchange.symbols exchange.url limits.max_order_contracts limits.max_orders_per_minute
        limits.max_position_contracts limits.price_collar_bps limits.stale_price_s
        limits.symbol.*.max_order_contracts limits.symbol.*.max_orders_per_minute
        limits.symbol.*.max_position_contracts limits.symbol.*.price_collar_bps
        limits.symbol.*.stale_price_s log.format log.level policy.*.band_contracts
        policy.*.escalate_after_s policy.*.escalate_to policy.*.max_slippage_bps
        policy.*.reprice_after_s policy.*.reprice_ticks policy.*.start reconcile.default_policy
        policy.*.before_deadline_s policy.*.catch_up policy.*.max_amends_per_minute
        policy.*.max_amends_per_order policy.*.over_s policy.*.slice_book_percent
        policy.*.slice_contracts policy.*.slice_every_s policy.*.stages
        reconcile.foreign_orders reconcile.in_flight_deadline_s reconcile.on_expiry
        reconcile.on_stop secrets.directory
        limits.max_change_contracts limits.max_daily_loss_minor limits.max_drawdown_minor
        limits.max_order_notional_minor limits.max_orders_per_day
        limits.max_position_notional_minor limits.min_liquidation_bps limits.runaway_orders
        limits.runaway_s limits.usual_above_contracts limits.usual_last limits.usual_times
        limits.symbol.*.max_change_contracts limits.symbol.*.max_daily_loss_minor
        limits.symbol.*.max_drawdown_minor limits.symbol.*.max_order_notional_minor
        limits.symbol.*.max_orders_per_day limits.symbol.*.max_position_notional_minor
        limits.symbol.*.min_liquidation_bps limits.symbol.*.runaway_orders
        limits.symbol.*.runaway_s limits.symbol.*.usual_above_contracts limits.symbol.*.usual_last
        limits.symbol.*.usual_times limits.account.max_daily_loss_minor
        limits.account.max_drawdown_minor limits.account.max_open_orders
        limits.account.max_orders_per_day limits.account.max_orders_per_minute
        limits.account.min_margin_percent limits.account.runaway_orders
        reconcile.mismatches_per_day reconcile.on_mismatch
        strategy.*.bar strategy.*.class strategy.*.enabled strategy.*.number
        strategy.*.on_failure strategy.*.parameters strategy.*.patience_s strategy.*.runs
        strategy.*.symbols
        portfolio.*.max_contracts portfolio.*.max_gross portfolio.*.max_strength
        portfolio.*.on_expiry portfolio.*.policy portfolio.*.sources portfolio.*.strategies
        portfolio.*.symbols portfolio.*.ttl_s portfolio.*.weights_file
        """
    assert sorted(leaves(names_of(AppConfig))) == sorted(known.split())
