"""A directory → a CA, and certificates for members and for agents, made by openssl."""

from pathlib import Path

from tests import kernel

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
SERIALS = {"member": 1, "agent": 2}


def make(place: Path, authority: str = "ca") -> None:
    """NAME.pem and NAME.key of `authority`, member (127.0.0.1) and agent (an empty common name)."""
    place.mkdir(parents=True, exist_ok=True)
    _openssl(place, f"req -x509 {KEY} -days 2 -subj /CN={authority} -keyout ca.key -out ca.pem")
    # The gateway of a member is a client of the member, with the same certificate.
    both = "extendedKeyUsage=serverAuth,clientAuth"
    _sign(place, "member", "/CN=member", f"subjectAltName=IP:127.0.0.1\n{both}")
    _sign(place, "agent", "/O=agents", "extendedKeyUsage=clientAuth")


def _sign(place: Path, name: str, subject: str, extensions: str) -> None:
    (place / f"{name}.ext").write_text(extensions + "\n")
    _openssl(place, f"req {KEY} -subj {subject} -keyout {name}.key -out {name}.csr")
    by = f"-CA ca.pem -CAkey ca.key -set_serial {SERIALS[name]} -days 2 -extfile {name}.ext"
    _openssl(place, f"x509 -req -in {name}.csr {by} -out {name}.pem")


def _openssl(place: Path, arguments: str) -> None:
    kernel.run(f"cd {place} && openssl {arguments}")
