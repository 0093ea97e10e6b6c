"""Who may read over HTTP: the right token passes, everything else gets 401 and the remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import SecretStr

from bot.config.settings import Need, Settings, SettingsError, load_settings
from bot.web.access import BearerAccess

TOKEN = "tok-~+/=42"
VARIABLE = "CLAUDE_COST_READ_TOKEN"
HEADER_TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs"), max_codepoint=0xFFFF))

COMPLETE = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "ANTHROPIC_ADMIN_KEY": "key",
    "CLAUDE_COST_CHANNEL": "C1",
    "CLAUDE_COST_HARD_USD": "100",
}

with_token = BearerAccess(SecretStr(TOKEN), VARIABLE)
without_token = BearerAccess(None, VARIABLE)


def refusal(access: BearerAccess, **headers: str) -> web.Response | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return access.refusal(make_mocked_request("GET", "/", headers=named))


def sentence(response: web.Response | None) -> str:
    assert response is not None
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="claude-cost"')
    body: Any = response.text
    return str(json.loads(body)["error"])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens_however_the_scheme_is_written(scheme: str) -> None:
    assert refusal(with_token, Authorization=f"{scheme} {TOKEN}") is None


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer{TOKEN}"])
def test_without_a_bearer_token_the_refusal_says_what_to_send(header: str) -> None:
    response = refusal(with_token, Authorization=header)
    assert VARIABLE in sentence(response)
    assert response is not None
    assert "invalid_token" not in response.headers["WWW-Authenticate"]


def test_no_header_at_all_is_refused() -> None:
    assert "Authorization: Bearer" in sentence(refusal(with_token))


@given(given_token=HEADER_TEXT.filter(lambda text: text.strip() not in ("", TOKEN)))
def test_any_other_token_is_refused_as_invalid_and_not_repeated(given_token: str) -> None:
    response = refusal(with_token, Authorization=f"Bearer {given_token}")
    assert sentence(response) == f"This is not the token of {VARIABLE}."
    assert response is not None
    assert response.headers["WWW-Authenticate"].endswith('error="invalid_token"')


@pytest.mark.parametrize("other", [TOKEN, "another"])
def test_two_authorization_headers_are_none(other: str) -> None:
    headers = CIMultiDict([("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {other}")])
    refused = BearerAccess(SecretStr(TOKEN), VARIABLE).refusal(make_mocked_request("GET", "/", headers=headers))
    assert "Send Authorization: Bearer TOKEN" in sentence(refused)


def test_no_refusal_names_the_token() -> None:
    for header in ("", "Bearer wrong"):
        assert TOKEN not in sentence(refusal(with_token, Authorization=header))


def test_on_the_loopback_no_token_is_needed() -> None:
    assert refusal(without_token) is None


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "127.1.2.3:9"]
)
def test_on_the_loopback_requests_to_this_machine_pass(host: str) -> None:
    access = BearerAccess(None, VARIABLE, "127.1.2.3")
    assert refusal(access, Host=host) is None
    assert refusal(access, Host=host, Origin=f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil",
            "",
        ),
        *("localhost:evil", "localhost:8080:80", "[::1", "::1", "[::2]", "0.0.0.0", "10.0.0.7", "localhost evil"),
        *("localhost,evil", "localhost.", "127.0.0.1/evil", "2130706433", "127.1", "[::ffff:127.0.0.1]"),
    ],
)
def test_a_name_that_only_points_at_the_loopback_does_not_pass(host: str) -> None:
    for check in (without_token.refusal, without_token.foreign):
        response = check(make_mocked_request("GET", "/", headers={"Host": host}))
        assert response is not None
        assert response.status == 421
        assert VARIABLE in str(response.text)
    assert refusal(with_token, Host=host, Authorization=f"Bearer {TOKEN}") is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://localhost.evil.example",
        "file://",
        "http://[::1",
        "http://a@localhost",
    ],
)
def test_a_page_of_another_site_does_not_read(origin: str) -> None:
    response = refusal(without_token, Host="localhost:8080", Origin=origin)
    assert response is not None
    assert response.status == 403
    assert refusal(with_token, Origin=origin, Authorization=f"Bearer {TOKEN}") is None


@pytest.mark.parametrize(
    "header",
    [
        *("X_Forwarded_For", "Forwarded", "x_forwarded_host", "X_Forwarded_Proto", "X_Forwarded_Port", "X_Forwarded"),
        *("X_Real_IP", "Via", "X_Client_IP", "CF_Connecting_IP", "CF_Ray", "True_Client_IP", "X_Cluster_Client_IP"),
        *("Fastly_Client_IP", "X_Original_Forwarded_For", "X_Envoy_External_Address", "WL_Proxy_Client_IP", "CDN_Loop"),
        *(
            "X_Azure_ClientIP",
            "Fly_Client_IP",
            "X_Amzn_Trace_Id",
            "X_ProxyUser_Ip",
            "Proxy_Connection",
            "X_Original_URL",
        ),
    ],
)
def test_what_a_proxy_has_passed_on_does_not_come_from_the_loopback(header: str) -> None:
    assert VARIABLE in sentence(refusal(without_token, **{header: "203.0.113.7"}))
    assert refusal(with_token, Authorization=f"Bearer {TOKEN}", **{header: "203.0.113.7"}) is None


HEADERS_OF_PROXIES = [
    *("X-ARR-LOG-ID", "X-ARR-SSL", "X-Scheme", "X-Url-Scheme", "X-Host", "X-Rewrite-URL", "X-Original-URL"),
    *("X-Vercel-Id", "X-Vercel-Forwarded-For", "X-Appengine-City", "X-Appengine-User-IP", "Tailscale-User-Login"),
    *("X-Forwarded-For", "X-Real-IP", "CF-Ray", "Tailscale-Headers-Info", "X-Azure-Ref", "Fly-Region", "Fastly-SSL"),
]


@pytest.mark.parametrize("header", HEADERS_OF_PROXIES)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, lambda name: name.replace("-", "_")])
def test_a_proxys_header_is_recognised_however_it_is_spelled(header: str, spell: Callable[[str], str]) -> None:
    headers = {"Host": "localhost", spell(header): "1"}
    assert VARIABLE in sentence(without_token.refusal(make_mocked_request("GET", "/", headers=headers)))


@pytest.mark.parametrize(
    "header", ["Accept", "User-Agent", "traceparent", "X-Request-Id", "If-None-Match", "Cache-Control", "X_Custom"]
)
def test_a_clients_own_headers_are_no_proxys(header: str) -> None:
    headers = {"Host": "localhost", header: "1"}
    assert without_token.refusal(make_mocked_request("GET", "/", headers=headers)) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin", "none, cross-site", "nonsense"])
def test_what_a_browser_says_another_site_has_sent_is_refused(site: str) -> None:
    response = refusal(without_token, Host="localhost:8080", Sec_Fetch_Site=site)
    assert response is not None
    assert response.status == 403
    assert VARIABLE in str(response.text)
    assert refusal(with_token, Sec_Fetch_Site=site, Authorization=f"Bearer {TOKEN}") is None


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_a_person_or_a_page_of_this_port_has_sent_passes(site: str) -> None:
    assert refusal(without_token, Host="localhost:8080", Sec_Fetch_Site=site) is None


async def test_a_guarded_handler_is_not_called_for_a_refused_request() -> None:
    called = []

    async def handler(request: web.Request) -> web.Response:
        called.append(request)
        return web.Response(text="secret")

    refused = await with_token.guard(handler)(make_mocked_request("GET", "/"))
    assert (refused.status, called) == (401, [])
    passed = await with_token.guard(handler)(
        make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {TOKEN}"})
    )
    assert (passed.status, len(called)) == (200, 1)


def load(need: Need = Need.RUN, /, **changes: str) -> Settings:
    return load_settings({**COMPLETE, **changes}, need)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", ""])
def test_on_the_loopback_the_port_opens_without_a_token(host: str) -> None:
    settings = load(CLAUDE_COST_HTTP_PORT="8080", CLAUDE_COST_HTTP_HOST=host)
    assert (settings.http_port, settings.read_token) == (8080, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "203.0.113.7", "bot.internal", "localhost.example.com"])
@pytest.mark.parametrize(
    "opening", [{"CLAUDE_COST_HTTP_PORT": "8080"}, {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "s"}]
)
def test_elsewhere_a_port_without_a_token_is_refused_also_in_http_mode(host: str, opening: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"CLAUDE_COST_READ_TOKEN is missing.*openssl rand -hex 32.*127\.0\.0\.1"):
        load(CLAUDE_COST_HTTP_HOST=host, **opening)
    token = load(CLAUDE_COST_HTTP_HOST=host, CLAUDE_COST_READ_TOKEN=TOKEN, **opening).read_token
    assert token == SecretStr(TOKEN)


def test_where_no_port_opens_no_token_is_needed() -> None:
    assert load(CLAUDE_COST_HTTP_HOST="0.0.0.0").http_port is None
    load(Need.RUN_ONCE, CLAUDE_COST_HTTP_HOST="0.0.0.0", CLAUDE_COST_HTTP_PORT="8080")


def test_the_token_may_come_from_a_file_and_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    settings = load(CLAUDE_COST_READ_TOKEN_FILE=str(tmp_path / "token"))
    assert settings.read_token == SecretStr(TOKEN)
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize("token", ["two words", "ключ", "tab\there"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_printed(token: str) -> None:
    with pytest.raises(SettingsError, match="CLAUDE_COST_READ_TOKEN has a character") as raised:
        load(CLAUDE_COST_READ_TOKEN=token)
    assert token not in str(raised.value)
