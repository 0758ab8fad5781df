"""Decoding what peers stored, within limits."""

from __future__ import annotations

from hivemind.utils import MSGPackSerializer

#: One answer holds what all servers say of one block: a few kilobytes each, most of it pings.
ANSWER_LIMIT_BYTES = 4 * 2**20


class BoundedSerializer(MSGPackSerializer):
    """Decodes what peers stored; what is too large or malformed becomes None instead of an error,
    which in hivemind would leave the reader waiting for ever."""

    @classmethod
    def loads(cls, buf: bytes) -> object:
        if not isinstance(buf, bytes) or len(buf) > ANSWER_LIMIT_BYTES:
            return None
        try:
            return super().loads(buf)
        # msgpack raises many kinds of errors on malformed input, some of them bare Exceptions.
        except Exception:
            return None
