"""Which proxy is used for which URL, and what libraries are told by the environment."""

import os

import pytest

from protocol.config.proxies import (
    keep_loopback_direct,
    lead_native_library,
    proxy_for,
    proxy_url_for,
)

NAMES = ("http_proxy", "https_proxy", "no_proxy")
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's proxies; undo what a test writes into the environment."""
    for name in NAMES:
        for spelled in (name, name.upper()):
            monkeypatch.setenv(spelled, "")  # so that monkeypatch restores it
            monkeypatch.delenv(spelled)


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:7880",
        "ws://localhost:7880",
        "http://[::1]:8080/x",
        "wss://127.3.2.1",
        "http://rooms.localhost:8080",
    ],
)
def test_this_machine_is_never_behind_a_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of this machine has no proxy, whatever the variables say."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, PROXY)

    assert proxy_for(url) is None


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("ws://livekit.example:7880", "HTTP_PROXY"),
        ("http://livekit.example", "HTTP_PROXY"),
        ("wss://livekit.example", "HTTPS_PROXY"),
        ("https://livekit.example", "HTTPS_PROXY"),
    ],
)
@pytest.mark.parametrize("spell", [str.upper, str.lower])
def test_another_machine_is_behind_the_proxy_of_the_urls_scheme(
    url: str, variable: str, spell: type[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ws` uses HTTP_PROXY and `wss` HTTPS_PROXY, in capitals or not."""
    monkeypatch.setenv(spell(variable), PROXY)
    proxy = proxy_for(url)

    assert proxy is not None
    assert (proxy.url, proxy.variable) == (PROXY, variable)
    other = "HTTP_PROXY" if variable == "HTTPS_PROXY" else "HTTPS_PROXY"
    monkeypatch.delenv(spell(variable))
    monkeypatch.setenv(spell(other), PROXY)
    assert proxy_for(url) is None


@pytest.mark.parametrize(
    ("exceptions", "url"),
    [
        ("*", "ws://livekit.example"),
        ("livekit.example", "ws://livekit.example:7880"),
        ("example", "ws://livekit.example"),
        (".example", "ws://livekit.example"),
        ("*.example", "ws://livekit.example"),
        ("other, LiveKit.Example", "ws://livekit.example"),
        ("livekit.example:7880", "ws://livekit.example:7880"),
        ("10.1.2.3", "ws://10.1.2.3:7880"),
        ("10.0.0.0/8", "ws://10.1.2.3:7880"),
        ("10.1.2.3:7880", "ws://10.1.2.3:7880"),
        ("fd00::/8", "ws://[fd00::5]:7880"),
        ("[fd00::5]:7880", "ws://[fd00::5]:7880"),
        ("[fd00::5]", "ws://[fd00::5]:7880"),
    ],
)
def test_no_proxy_is_honoured(exceptions: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY excepts names, domains, addresses and networks, with a port or without."""
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert proxy_for(url) is None


@pytest.mark.parametrize(
    ("exceptions", "url"),
    [
        ("", "ws://livekit.example"),
        (",", "ws://livekit.example"),
        ("kit.example", "ws://livekit.example"),
        ("livekit.example:80", "ws://livekit.example:7880"),
        ("10.0.0.0/16", "ws://10.1.2.3:7880"),
        ("2.3", "ws://10.1.2.3:7880"),
        ("fd00::/8", "ws://10.1.2.3"),
    ],
)
def test_no_proxy_excepts_nothing_else(
    exceptions: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL that only resembles an entry of NO_PROXY uses the proxy."""
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert proxy_url_for(url) == PROXY


def test_a_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's URL without a scheme means `http://`."""
    monkeypatch.setenv("HTTP_PROXY", "proxy:3128")

    assert proxy_url_for("ws://livekit.example") == "http://proxy:3128"


def test_a_proxy_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is shown with its address and variable, without its password."""
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:hush@proxy.example:3128")
    proxy = proxy_for("wss://livekit.example")

    assert proxy is not None
    assert proxy.shown == "the proxy http://proxy.example:3128 (HTTPS_PROXY)"


@pytest.mark.parametrize(
    ("proxy", "usable"), [("http://p", True), ("https://p", True), ("socks5://p:1080", False)]
)
def test_a_socks_proxy_is_not_usable(
    proxy: str, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SOCKS proxy is known as not usable."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    found = proxy_for("ws://livekit.example")

    assert found is not None and found.usable is usable


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "localhost,127.0.0.1,::1"),
        ("10.0.0.0/8,localhost", "10.0.0.0/8,localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_no_proxy_gets_this_machine_in_both_spellings(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keep_loopback_direct` adds this machine to NO_PROXY, in both spellings."""
    if given is not None:
        monkeypatch.setenv("NO_PROXY", given)
    keep_loopback_direct()

    assert os.environ["NO_PROXY"] == expected
    assert os.environ.get("no_proxy", expected) == expected


def test_libraries_use_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `keep_loopback_direct`, urllib and requests use no proxy for this machine."""
    from urllib.request import proxy_bypass

    from requests.utils import get_environ_proxies

    monkeypatch.setenv("HTTP_PROXY", PROXY)
    keep_loopback_direct()

    assert [bool(proxy_bypass(host)) for host in ("127.0.0.1:8080", "localhost", "x.example")] == [
        True,
        True,
        False,
    ]
    assert get_environ_proxies("http://127.0.0.1:8080/x") == {}
    assert get_environ_proxies("http://x.example")["http"] == PROXY


def test_the_native_library_gets_the_urls_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """`lead_native_library` sets all variables to the URL's proxy, or removes them without one."""
    monkeypatch.setenv("https_proxy", PROXY)
    monkeypatch.setenv("HTTP_PROXY", "other.example:80")
    lead_native_library("wss://livekit.example")
    assert {os.environ[name] for name in ("HTTPS_PROXY", "http_proxy")} == {PROXY}

    monkeypatch.setenv("NO_PROXY", "livekit.example")
    lead_native_library("wss://livekit.example")
    assert not {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} & set(os.environ)
