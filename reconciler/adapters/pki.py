"""A name and addresses → keys and certificates of a cluster: its authority, members and clients."""

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.adapters.etcd_unit import PEER_NAME
from reconciler.errors import NeedsPerson

BEFORE = timedelta(days=1)  # for a clock that is behind
AUTHORITY_DAYS, DAYS = 20 * 365, 10 * 365
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


@dataclass(frozen=True)
class Pair:
    """A key and what certifies it, as PEM."""

    certificate: str
    key: str = field(repr=False)


def authority() -> Pair:
    """A new one, which nobody else knows of."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("standfast", "cluster authority")
    usage = _usage(sign_certificates=True)
    made = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(made), _key_pem(key))


def request() -> tuple[str, str]:
    """A new key and what asks for its certificate. What it is for, the authority decides."""
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return _key_pem(key), asked.public_bytes(serialization.Encoding.PEM).decode()


def sign_member(by: Pair, asked: str, name: str, addresses: Iterable[str]) -> str:
    """For its server, whose gateway is a client of itself. Without a common name, as `sign_client`."""
    return _sign_server(by, asked, _name("", name), name, addresses)


def sign_peer(by: Pair, asked: str, name: str, addresses: Iterable[str]) -> str:
    """For what it and the other members say to each other."""
    return _sign_server(by, asked, _name(PEER_NAME, name), name, addresses)


def _sign_server(by: Pair, asked: str, subject: x509.Name, name: str, addresses: Iterable[str]) -> str:
    known: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)
    ]
    if _NAME.fullmatch(name):
        known.append(x509.DNSName(name))
    names = x509.SubjectAlternativeName(known)
    purposes = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    return _sign(by, asked, subject, purposes, names)


def sign_client(by: Pair, asked: str, name: str) -> str:
    """For an agent. Without a common name, else etcd's gateway refuses it once users are on."""
    return _sign(by, asked, _name("", name), (ExtendedKeyUsageOID.CLIENT_AUTH,))


def fingerprint(certificate: str) -> str:
    """What tells a certificate from every other. Raises ValueError for what is none."""
    made = x509.load_pem_x509_certificate(certificate.encode())
    return hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()


def expires(certificate: str) -> float:
    """Wall-clock time after which nobody believes it."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc.timestamp()


def _sign(
    by: Pair,
    asked: str,
    subject: x509.Name,
    purposes: Iterable[x509.ObjectIdentifier],
    names: x509.SubjectAlternativeName | None = None,
) -> str:
    """Of the request only its key is taken, and only if whoever asks has it."""
    try:
        wanted = x509.load_pem_x509_csr(asked.encode())
        proven = wanted.is_signature_valid
    except (ValueError, InvalidSignature) as fault:
        raise NeedsPerson(f"this asks for no certificate: {fault}") from None
    if not proven:
        raise NeedsPerson("who asks for this certificate does not have its key")
    issuer = x509.load_pem_x509_certificate(by.certificate.encode())
    signer = serialization.load_pem_private_key(by.key.encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    made = (
        _builder(subject, issuer.subject, wanted.public_key(), DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if names is not None:
        made = made.add_extension(names, critical=False)
    return _pem(made.sign(signer, hashes.SHA256()))


def _builder(subject: x509.Name, issuer: x509.Name, key: object, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)  # type: ignore[arg-type]  # of any kind that a request can have
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common: str, unit: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "standfast")]
    parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit[:64]))
    if common:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common))
    return x509.Name(parts)


def _usage(sign_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
