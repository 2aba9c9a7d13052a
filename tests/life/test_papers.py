"""Tokens, certificates, the unit of etcd and node.yaml: what is written, and read back."""

import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.adapters import etcd_unit, pki, tokens
from reconciler.adapters.etcd_unit import Files, Unit
from reconciler.adapters.node_file import NodeFile
from reconciler.decide.documents.node import read_node
from reconciler.errors import NeedsPerson
from reconciler.settings import Etcd

NOW = 1_000_000.0

# --- tokens


def token(until: float = NOW + 60) -> tokens.Token:
    return tokens.Token(("10.0.0.1:2381", "[fd00::1]:2381"), "ab" * 32, "secret", until)


def test_a_token_is_read_as_it_was_written():
    assert tokens.read(tokens.written(token()), NOW) == token()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "this is no token", id="nothing"),
        pytest.param("sf1.", "this is no token", id="its beginning"),
        pytest.param(tokens.written(token())[:-9], "a part of one is missing", id="cut off"),
        pytest.param("sf1.e30", "this is no token", id="an empty map"),
        pytest.param("sf1.bnVsbA", "this is no token", id="null"),
        pytest.param("Zm9v", "this is no token", id="something else in base64"),
        pytest.param(tokens.written(token(NOW)), "expired", id="over"),
    ],
)
def test_what_is_no_token_says_so_and_where_to_get_one(text, why):
    with pytest.raises(NeedsPerson, match=why) as said:
        tokens.read(text, NOW)
    assert "standfast cluster token" in str(said.value)


def test_the_secret_is_in_no_key_of_the_store_and_in_no_log():
    made = tokens.made(("10.0.0.1:2381",), "ab" * 32, 60)
    assert made.secret not in made.key
    assert made.secret not in repr(made)


# --- certificates


@pytest.fixture(scope="module")
def authority() -> pki.Pair:
    return pki.authority()


def test_certificates_are_for_what_they_are_for(authority, tmp_path):
    key, asked = pki.request()
    made = {
        "member": pki.sign_member(authority, asked, "n1", ("10.0.0.1", "fd00::1", "10.0.0.1")),
        "peer": pki.sign_peer(authority, asked, "n1", ("10.0.0.1",)),
        "client": pki.sign_client(authority, asked, "n1"),
    }
    (tmp_path / "ca.pem").write_text(authority.certificate)
    purposes = {
        "member": {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
        "peer": {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
        "client": {ExtendedKeyUsageOID.CLIENT_AUTH},
    }
    for name, text in made.items():
        read = x509.load_pem_x509_certificate(text.encode())
        assert set(read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == purposes[name]
        common = [one.value for one in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        assert common == (["standfast-member"] if name == "peer" else [])
        assert 9 * 365 < (pki.expires(text) - time.time()) / 86400 < 11 * 365
        (tmp_path / f"{name}.pem").write_text(text)
        words = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", f"{name}.pem"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    names = x509.load_pem_x509_certificate(made["member"].encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(one.value) for one in names.value] == ["10.0.0.1", "fd00::1", "n1"]
    assert "PRIVATE KEY" in key


def test_of_a_request_only_its_key_is_taken(authority):
    """Who asks to be the authority, or a member, is what the cluster says."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, etcd_unit.PEER_NAME)]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = pki.sign_client(authority, asked.public_bytes(Encoding.PEM).decode(), "n1")
    read = x509.load_pem_x509_certificate(made.encode())
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


def test_a_request_that_is_none_is_refused(authority):
    with pytest.raises(NeedsPerson, match="asks for no certificate"):
        pki.sign_client(authority, "-----BEGIN", "n1")


def test_a_fingerprint_tells_authorities_apart(authority):
    assert pki.fingerprint(authority.certificate) != pki.fingerprint(pki.authority().certificate)
    with pytest.raises(ValueError):
        pki.fingerprint("nothing of that kind")


# --- the unit


UNIT = Unit(
    "witness:w",
    "fd00::3",
    2379,
    2380,
    0,
    "token",
    {"a": ("https://10.0.0.1:2380",), "witness:w": ("https://[fd00::3]:2380",)},
    False,
    0.5,
    "fast",
)


def test_the_unit_is_read_as_it_was_kept(tmp_path):
    files = Files(tmp_path / "state", tmp_path / "run")
    assert etcd_unit.load(files) is None
    etcd_unit.keep(files, UNIT)
    assert etcd_unit.load(files) == UNIT
    files.unit.write_text("{")
    with pytest.raises(NeedsPerson, match=r"etcd\.json cannot be read"):
        etcd_unit.load(files)


def test_etcd_is_never_without_pre_vote_certificates_compaction_and_the_times_of_the_profile(tmp_path):
    words = etcd_unit.argv(UNIT, Files(tmp_path / "state", tmp_path / "run"))
    for needed in (
        "--pre-vote",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        "--heartbeat-interval=50",
        "--election-timeout=500",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=10000",
        "--quota-backend-bytes=2147483648",
        "--initial-cluster-state=existing",
        "--initial-cluster=a=https://10.0.0.1:2380,witness:w=https://[fd00::3]:2380",
        "--listen-client-urls=https://[fd00::3]:2379",
        f"--data-dir={tmp_path}/state/etcd",
    ):
        assert needed in words
    assert not any("http://" in word or "force" in word for word in words)


def test_its_systemd_unit_stands_on_nothing_of_the_agent_s(tmp_path):
    text = etcd_unit.service(Files(Path("/var/lib/standfast"), Path("/run/standfast")))
    assert "cluster etcd --state /var/lib/standfast --run /run/standfast" in text
    assert "standfast.service" not in text
    assert "Restart=always" in text


# --- node.yaml

ETCD = Etcd(("https://10.0.0.1:2379",), "/s/ca.pem", "/s/client.pem", "/s/client.key", "/r/etcd.endpoints")
WRITTEN = """\
# our two machines
apiVersion: standfast/v1
kind: Node
metadata: {name: 'db1', labels: {zone: a}}   # in the cellar
spec:
  # nobody touches this
  roles: {ops: operator}
  failover_time: "20s"
"""


def test_the_store_is_named_in_node_yaml_and_nothing_else_changes(tmp_path):
    path = tmp_path / "node.yaml"
    path.write_text(WRITTEN)
    path.chmod(0o640)
    NodeFile(path).name_store(ETCD, "fast")
    settings, faults = read_node(path.read_bytes(), "node.yaml")
    assert not faults
    assert settings["etcd"] == ETCD
    assert settings["failover_time"] == 20.0  # what stands there stays
    assert path.read_text().startswith(WRITTEN)
    assert path.stat().st_mode & 0o777 == 0o640
    assert NodeFile(path).unname_store()
    assert path.read_text() == WRITTEN
    assert not NodeFile(path).unname_store()


@pytest.mark.parametrize("before", [None, "apiVersion: standfast/v1\nkind: Node\n", WRITTEN])
def test_what_is_undone_is_as_it_was(tmp_path, before):
    path = tmp_path / "etc" / "node.yaml"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    file = NodeFile(path)
    assert not file.undo()
    file.name_store(ETCD, "fast")
    assert read_node(path.read_bytes(), "")[0]["etcd"] == ETCD
    assert file.undo()
    assert (path.read_text() if path.exists() else None) == before


def test_a_link_to_node_yaml_stays_a_link(tmp_path):
    (tmp_path / "real.yaml").write_text(WRITTEN)
    (tmp_path / "node.yaml").symlink_to("real.yaml")
    NodeFile(tmp_path / "node.yaml").name_store(ETCD)
    assert (tmp_path / "node.yaml").is_symlink()
    assert "10.0.0.1" in (tmp_path / "real.yaml").read_text()


def test_a_node_yaml_with_faults_is_left_alone(tmp_path):
    path = tmp_path / "node.yaml"
    path.write_text("apiVersion: standfast/v1\nkind: Node\nspec: {max_jobs: many}\n")
    before = path.read_bytes()
    with pytest.raises(NeedsPerson, match="max_jobs"):
        NodeFile(path).name_store(ETCD)
    assert path.read_bytes() == before
