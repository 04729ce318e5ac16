"""A certificate authority of a cluster's own and what it signs, made with the `openssl` command."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.command import must_run
from tests.cluster.debian import OPENSSL

VALID_DAYS = 365


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs the certificates of one cluster; its own are `ca.crt` and `ca.key` of its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pair = KeyPair(certificate=folder / "ca.crt", key=folder / "ca.key")

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        """A new authority in this folder."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        authority = cls(folder)
        request = ["req", "-x509", "-new", "-subj", "/CN=penstock-test", "-days", str(VALID_DAYS)]
        extensions = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"]
        create_key(authority.pair.key)
        _openssl([*request, *extensions, "-key", str(authority.pair.key), "-out", str(authority.pair.certificate)])
        return authority

    def sign(self, name: str, *, subject: str, alternative_names: Sequence[str] = ()) -> KeyPair:
        """A certificate for server and client use, as files NAME.crt and NAME.key.

        Args:
            name: of the files.
            subject: as openssl writes it, `/O=system:masters/CN=someone`.
            alternative_names: such as `IP:127.0.0.1` or `DNS:kubernetes`.
        """
        pair = KeyPair(certificate=self._folder / f"{name}.crt", key=self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
        if alternative_names:
            lines.append(f"subjectAltName={','.join(alternative_names)}")
        extensions.write_text("\n".join(lines))
        create_key(pair.key)
        _openssl(["req", "-new", "-key", str(pair.key), "-subj", subject, "-out", str(request)])
        signer = ["-CA", str(self.pair.certificate), "-CAkey", str(self.pair.key), "-CAcreateserial"]
        signed = ["-days", str(VALID_DAYS), "-extfile", str(extensions), "-out", str(pair.certificate)]
        _openssl(["x509", "-req", "-in", str(request), *signer, *signed])
        return pair


def create_key(path: Path) -> None:
    """A new private key; one that signs service account tokens needs no certificate."""
    _openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path)])


def _openssl(arguments: Sequence[str]) -> None:
    must_run([OPENSSL.path(), *arguments])
