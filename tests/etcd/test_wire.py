"""What etcd's words mean: above all whether a commit can have been done."""

import base64
import json

import pytest

from reconciler.adapters.etcd_care import quota_of, status_of
from reconciler.adapters.etcd_wire import (
    EtcdError,
    Meaning,
    after_prefix,
    changes_of,
    entries_of,
    error_of,
    number,
)
from reconciler.contracts import Change, Entry


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (14, "etcdserver: no leader", Meaning.ELSEWHERE),
        (8, "etcdserver: too many requests", Meaning.ELSEWHERE),
        (14, "etcdserver: rpc not supported for learner", Meaning.ELSEWHERE),
        (16, "etcdserver: invalid auth token", Meaning.TOKEN),
        (3, "etcdserver: user name is empty", Meaning.TOKEN),
        (3, "etcdserver: revision of auth store is old; revision in header is old", Meaning.TOKEN),
        (7, "etcdserver: permission denied", Meaning.REFUSED),
        (3, "etcdserver: authentication failed, invalid user ID or password", Meaning.REFUSED),
        (3, "etcdserver: request is too large", Meaning.REFUSED),
        (8, "etcdserver: mvcc: database space exceeded", Meaning.NOT_NOW),
        (3, "etcdserver: duplicate key given in txn request", Meaning.NOT_NOW),
        (11, "etcdserver: mvcc: required revision has been compacted", Meaning.COMPACTED),
        (11, "etcdserver: mvcc: required revision is a future revision", Meaning.FUTURE),
        (14, "etcdserver: request timed out", Meaning.UNKNOWN),
        (14, "etcdserver: request timed out, possibly due to previous leader failure", Meaning.UNKNOWN),
        (14, "etcdserver: leader changed", Meaning.UNKNOWN),
        (14, "etcdserver: server stopped", Meaning.UNKNOWN),
        (14, "transport is closing", Meaning.UNKNOWN),
        (4, "context deadline exceeded", Meaning.UNKNOWN),
        (2, "anything else", Meaning.UNKNOWN),
    ],
)
def test_whether_it_can_have_been_done(code: int, text: str, meaning: Meaning) -> None:
    assert EtcdError(code, text).meaning is meaning


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(400, '{"error":"e","message":"e","code":11}', EtcdError(11, "e"), id="a call's"),
        pytest.param(200, '{"error":{"grpc_code":14,"message":"m"}}', EtcdError(14, "m"), id="a stream's"),
        pytest.param(502, "<html>Bad", EtcdError(0, "HTTP 502 <html>Bad"), id="a proxy's"),
        pytest.param(404, "", EtcdError(0, "HTTP 404"), id="nothing"),
        pytest.param(400, "[]", EtcdError(0, "HTTP 400 []"), id="no object"),
    ],
)
def test_errors_come_in_shapes(status: int, body: str, error: EtcdError) -> None:
    assert error_of(status, body.encode()) == error


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        pytest.param("a/", b"a0", id="the last byte raised"),
        pytest.param("é", b"\xc3\xaa", id="beyond ASCII"),
        pytest.param("", b"\0", id="to the end of all keys"),
    ],
)
def test_the_key_behind_a_prefix(prefix: str, end: bytes) -> None:
    assert base64.b64decode(after_prefix(prefix)) == end


def test_fields_left_out_are_zero() -> None:
    """A put has no type, an empty value no value, a member without a leader no leader."""
    told = {"events": [{"kv": {"key": "cC9r", "mod_revision": "7"}}]}
    assert changes_of(told, "p/") == [Change("k", "", 7)]
    gone = {"events": [{"type": "DELETE", "kv": {"key": "cC9r", "mod_revision": "8"}}]}
    assert changes_of(gone, "p/") == [Change("k", None, 8)]
    assert entries_of({"kvs": [{"key": "cC9r", "mod_revision": "7"}]}, "p/") == {"k": Entry("", 7)}
    assert entries_of({}, "p/") == {}
    assert number({}, "compact_revision") == 0
    status = status_of({"header": {"member_id": "1"}, "version": "3.4.23"})
    lost = status_of({"errors": ["etcdserver: no leader", "memberID:1 alarm:NOSPACE "]})
    assert lost.alarms == ("memberID:1 alarm:NOSPACE ",)  # the other is none that can be disarmed
    assert (status.leader, status.leads, status.fullness) == ("", False, 0.0)


def test_a_value_that_is_not_text_is_read_all_the_same() -> None:
    kv = {"key": "aw==", "value": base64.b64encode(b"\xff\xfe").decode(), "mod_revision": "1"}
    assert entries_of(json.loads(json.dumps({"kvs": [kv]})), "")["k"].revision == 1


def test_the_quota_among_etcds_own_metrics() -> None:
    assert quota_of("# HELP x\netcd_server_quota_backend_bytes 2.147483648e+09\nother 1\n") == 2**31
    assert quota_of("nothing of the kind") == 0
