"""Videos that come over a network: names without passwords, time-outs, and options of FFmpeg's protocols."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0  # for the next packet, with FFmpeg's attempts to connect again after half of it
PAUSES_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0)  # before each attempt to open a live stream again
_LIVE = frozenset({"rtsp", "rtsps", "rtmp", "rtmps"})


def is_url(name: str) -> bool:
    """Whether `name` has a protocol: `http://…`."""
    return "://" in name


def protocol(url: str) -> str:
    """The protocol of `url` in lower case."""
    return url.partition("://")[0].lower()


def is_live(url: str) -> bool:
    """Whether the protocol of `url` is one of cameras, which cannot be read from a position again."""
    return is_url(url) and protocol(url) in _LIVE


def is_web_file(url: str) -> bool:
    """Whether the protocol of `url` is HTTP, which gives a file to several readers."""
    return is_url(url) and protocol(url) in ("http", "https")


def public_name(source: str) -> str:
    """`source` for messages and reports: of a URL with a password, the password is replaced by ***."""
    if not is_url(source):
        return source
    parts = urlsplit(source)
    if parts.password is None:
        return source
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()


def file_name(address: str) -> str:
    """The last part of a path or of the path of a URL."""
    return Path(urlsplit(address).path if is_url(address) else address).name


def open_options(url: str) -> dict[str, str]:
    """Options for FFmpeg: time-outs; HTTP goes on where it broke off, if the server can do that; RTSP prefers TCP."""
    microseconds = str(round(1e6 * TIMEOUT_SECONDS / 2))
    if is_web_file(url):
        return {
            "rw_timeout": microseconds,
            "reconnect": "1",
            "reconnect_streamed": "1",
            "reconnect_delay_max": str(round(PAUSES_SECONDS[-1])),
        }
    if protocol(url) in ("rtsp", "rtsps"):
        return {"timeout": microseconds, "rtsp_flags": "prefer_tcp"}
    return {"rw_timeout": microseconds} if protocol(url) in ("rtmp", "rtmps", "tcp") else {}
