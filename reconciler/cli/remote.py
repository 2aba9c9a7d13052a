"""The address of another host's agent and our certificate → a connection with TLS, or what to do about it.

Imported only by who asks for it: the library for TLS takes as long to load as a whole `status`.
"""

import socket
import ssl
import time
from urllib.parse import urlsplit

from reconciler.cli.client import FAILED, NO_AGENT, REFUSED, USAGE, Failed

PORT = 9834
EXPIRED, NOT_YET = 10, 9
OTHER_NAME = (62, 64)  # host name, address
OTHER_AUTHORITY = (2, 18, 19, 20, 21)


class Remote:
    """One agent elsewhere. Paths of PEM files; `key`, `ca` may be ""."""

    def __init__(self, server: str, certificate: str, key: str, ca: str) -> None:
        self.server, self._certificate, self._key, self._ca = server, certificate, key, ca
        try:
            url = urlsplit(server)
            self._host, self._port = url.hostname or "", url.port or PORT
        except ValueError:
            self._host = ""
        if not self._host or url.scheme != "https" or url.path.strip("/") or url.query or url.username:
            raise Failed(
                USAGE, f"--server: {server!r} is no address of an agent: write https://HOST:{PORT}"
            )
        if not certificate:
            raise Failed(
                USAGE,
                f"{server} asks who you are: name your certificate and its key with "
                "--certificate F --key F, or STANDFAST_CERTIFICATE and STANDFAST_KEY",
            )

    def connect(self, patience: float) -> socket.socket:
        """`patience`: seconds without an answer. Raises Failed."""
        made = self._context()
        try:
            plain = socket.create_connection((self._host, self._port), patience)
        except OSError as fault:
            why = fault.strerror or str(fault)
            raise Failed(
                NO_AGENT, f"no agent answers at {self.server} ({why}): is spec.api in its node.yaml?"
            ) from None
        try:
            return made.wrap_socket(plain, server_hostname=self._host)
        except OSError as fault:
            plain.close()
            raise self.explained(fault) from None

    def explained(self, fault: Exception) -> Failed:
        """What ended the connection, in words with what to do."""
        if isinstance(fault, ssl.SSLCertVerificationError):
            return Failed(FAILED, f"{self.server} is not believed: {self._not_believed(fault)}")
        if "WRONG_VERSION_NUMBER" in str(getattr(fault, "reason", "")):
            return Failed(FAILED, f"what answers at {self.server} does not speak TLS: check the port")
        if isinstance(fault, TimeoutError):
            return Failed(NO_AGENT, f"{self.server} did not answer in time")
        # With TLS 1.3 the other end looks at our certificate when for us the greeting is over.
        if since := self._over():
            return Failed(
                REFUSED, f"your certificate {self._certificate} is over since {since}: ask for a new one"
            )
        return Failed(
            NO_AGENT,
            f"{self.server} ended the connection: if it does so again, it does not accept "
            f"{self._certificate}: have it signed by what spec.api.client_ca names there",
        )

    def _over(self) -> str:
        """The day on which our certificate expired, "" when it has not."""
        from reconciler.adapters.pki import expires  # only who is refused waits for it

        with open(self._certificate, encoding="ascii", errors="replace") as file:
            end = expires(file.read())
        return time.strftime("%Y-%m-%d", time.localtime(end)) if end < time.time() else ""

    def _not_believed(self, fault: ssl.SSLCertVerificationError) -> str:
        if fault.verify_code in OTHER_AUTHORITY:
            by = f"an authority that is not in {self._ca}" if self._ca else "an authority unknown here"
            return f"its certificate is signed by {by}: name the right one with --ca F"
        if fault.verify_code in OTHER_NAME:
            return f"its certificate is not for {self._host}: use a name or an address that it has"
        if fault.verify_code == EXPIRED:
            return "its certificate has expired: renew it there, and restart the agent"
        if fault.verify_code == NOT_YET:
            return "its certificate is not valid yet: compare the clocks"
        return fault.verify_message

    def _context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self._ca:
                made.load_verify_locations(self._ca)
            else:
                made.load_default_certs()
        except OSError as fault:
            raise Failed(FAILED, f"--ca {self._ca}: {_file(fault)}") from None
        try:
            made.load_cert_chain(self._certificate, self._key or None)
        except OSError as fault:
            files = " and ".join(filter(None, (self._certificate, self._key)))
            raise Failed(FAILED, f"--certificate and --key, {files}: {_file(fault)}") from None
        return made


def _file(fault: OSError) -> str:
    if isinstance(fault, ssl.SSLError):
        return "this is no certificate, or not the key of it"
    return f"{fault.strerror}"
