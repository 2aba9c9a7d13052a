"""A directory → an authority, and certificates of clients and servers that it signed, as PEM files."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """`ca` is its file."""

    def __init__(self, place: Path, name: str = "people") -> None:
        place.mkdir(parents=True, exist_ok=True)
        self._place, self._name = place, _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = place / "ca.pem"
        basic = x509.BasicConstraints(ca=True, path_length=0)
        made = self._builder(self._name, self._key, DAY).add_extension(basic, critical=True)
        self.ca.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def issue(
        self, file: str, common: str = "", *others: x509.GeneralName, good_for: timedelta = DAY
    ) -> tuple[Path, Path]:
        """FILE.pem and FILE.key; `common`: its common name, "" for none."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(_name(common), key, good_for)
        if others:
            made = made.add_extension(x509.SubjectAlternativeName(others), critical=False)
        certificate, secret = self._place / f"{file}.pem", self._place / f"{file}.key"
        certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        secret.touch(mode=0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret

    def server(self, file: str = "server", address: str = "127.0.0.1") -> tuple[Path, Path]:
        return self.issue(file, "", x509.IPAddress(ipaddress.ip_address(address)))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, good_for: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * DAY)
            .not_valid_after(now + good_for)
        )


def _name(common: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests")]
    parts += [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    return x509.Name(parts)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
