"""The client follows the bot over HTTP."""

import socket
from pathlib import Path

import pytest

from claude_cost_client.follower import MOST_MODELS
from tests.client.applications import CHAIN, HAIKU, MODES, OPUS, QUICK, SONNET, eventually, following
from tests.client.mode_server import ModeServer


def test_over_http_the_first_question_waits_for_nothing_and_the_stream_sends_every_switch(server: ModeServer) -> None:
    with following(CLAUDE_COST_FALLBACK_URL=server.url + "/") as follower:
        assert follower.answer(HAIKU) == HAIKU
        eventually(lambda: follower.answer(OPUS) == SONNET)
        eventually(lambda: server.open_streams == 1)
        asked = len(server.requests)
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)
        server.mode = "normal"
        eventually(lambda: follower.answer(OPUS) == OPUS)
        assert len(server.requests) == asked


def test_without_a_stream_the_mode_is_polled_and_an_unchanged_one_is_not_sent_again(server: ModeServer) -> None:
    server.streams = False
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET)
        eventually(lambda: ("/v1/fallback", '"degraded"', 304) in server.requests)
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)


def test_behind_a_proxy_that_holds_the_stream_back_the_mode_is_polled(server: ModeServer) -> None:
    server.silent = True
    with following(QUICK._replace(silent=0.2), CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        assert follower.answer(OPUS) == OPUS
        eventually(lambda: sum(status == 304 for *_, status in server.requests) > 5)
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)
        assert server.streams_opened == 1


def test_after_an_outage_the_pauses_begin_short_again(server: ModeServer) -> None:
    server.status = 500
    with following(QUICK._replace(poll=60), CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        assert follower.answer(OPUS) == OPUS
        for mode, model in (("degraded", SONNET), ("minimal", HAIKU)):
            asked = len(server.requests)
            eventually(lambda asked=asked: len(server.requests) > asked + 3)  # type: ignore[misc]
            server.mode, server.status = mode, 200
            eventually(lambda model=model: follower.answer(OPUS) == model)  # type: ignore[misc]
            eventually(lambda: server.open_streams == 1)
            server.status, server.streams = 500, False
            eventually(lambda: server.open_streams == 0)
            server.streams = True


def test_after_a_broken_stream_it_asks_again_and_listens_again(server: ModeServer) -> None:
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET)
        eventually(lambda: server.open_streams == 1)
        server.streams = False
        eventually(lambda: server.open_streams == 0)
        server.mode = "minimal"
        server.streams = True
        eventually(lambda: server.open_streams == 1 and follower.answer(OPUS) == HAIKU)


def test_the_last_known_mode_holds_while_the_bot_is_gone_and_the_log_says_so_once(
    server: ModeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.streams = False
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET)
        server.status = 500
        eventually(lambda: sum(status == 500 for *_, status in server.requests) > 2)
        assert follower.answer(OPUS) == SONNET
        assert caplog.text.count("does not answer (HTTP 500)") == 1
        server.status = 200
        server.mode = "minimal"
        eventually(lambda: follower.answer(OPUS) == HAIKU)


def test_where_nobody_listens_models_stay_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    with following(CLAUDE_COST_FALLBACK_URL="http://127.0.0.1:1", **MODES["degraded"].variables) as follower:
        assert follower.answer(OPUS) == SONNET
        eventually(lambda: "does not answer" in caplog.text)
        assert follower.answer(OPUS) == SONNET


def test_an_address_that_is_none_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with following(CLAUDE_COST_FALLBACK_URL="http://[::1") as follower:
        assert follower.answer(OPUS) == OPUS
        eventually(lambda: "does not answer (ValueError)" in caplog.text)


def test_an_address_that_is_not_http_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with following(CLAUDE_COST_FALLBACK_URL="file:///etc") as follower:
        assert follower.answer(OPUS) == OPUS
        eventually(lambda: "correct CLAUDE_COST_FALLBACK_URL" in caplog.text)


@pytest.mark.parametrize("hangs_behind", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"])
def test_a_bot_that_takes_the_question_and_never_answers_holds_no_request_up(hangs_behind: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with following(CLAUDE_COST_FALLBACK_URL=url, **MODES["degraded"].variables) as follower:
            assert follower.answer(OPUS) == SONNET
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(9999).startswith(b"GET /v1/fallback ")
                connection.sendall(hangs_behind)
                for number in range(2 * MOST_MODELS):
                    assert follower.answer(f"claude-opus-{number}") == SONNET
                # The request is still open: a question that waited for it would have failed by now.
                connection.setblocking(False)
                with pytest.raises(BlockingIOError):
                    connection.recv(1)


def test_a_stream_that_falls_silent_leaves_the_last_known_mode(server: ModeServer) -> None:
    with following(CLAUDE_COST_FALLBACK_URL=server.url) as follower:
        eventually(lambda: follower.answer(OPUS) == SONNET and server.open_streams == 1)
        server.silent = True
        server.mode = "minimal"
        assert [follower.answer(model) for model in CHAIN] == [SONNET, SONNET, HAIKU]
        assert server.open_streams == 1
        server.silent = False
        eventually(lambda: follower.answer(OPUS) == HAIKU)


@pytest.mark.parametrize("from_file", [False, True])
def test_the_token_is_sent_and_follows_no_redirect(
    from_file: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ModeServer(token="s3cret")
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    name, value = ("_FILE", str(tmp_path / "token")) if from_file else ("", "s3cret")
    try:
        with following(CLAUDE_COST_FALLBACK_URL=server.url, **{"CLAUDE_COST_READ_TOKEN" + name: value}) as follower:
            eventually(lambda: follower.answer(OPUS) == SONNET and server.open_streams == 1)
            server.status, server.streams = 302, False
            eventually(lambda: "HTTP 302" in caplog.text)
        assert {path for path, *_ in server.requests} == {"/v1/fallback"}
        assert "s3cret" not in caplog.text
    finally:
        server.close()


def test_a_proxy_of_the_environment_does_not_get_the_token_for_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = ModeServer(token="s3cret"), ModeServer()
    monkeypatch.setenv("http_proxy", proxy.url)
    try:
        with following(CLAUDE_COST_FALLBACK_URL=server.url, CLAUDE_COST_READ_TOKEN="s3cret") as follower:
            eventually(lambda: follower.answer(OPUS) == SONNET)
        assert not proxy.requests
    finally:
        server.close()
        proxy.close()
