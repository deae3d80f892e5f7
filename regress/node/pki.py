"""Certificates for tests, made by openssl(1)."""

import subprocess

SERVER = "serverAuth"
CLIENT = "clientAuth"


class Authority:
    """A CA with a directory; what it makes belongs to the node's user."""

    def __init__(self, stage, home, name="ca"):
        self.stage = stage
        self.home = home
        self.name = name
        self.serial = 0
        self.cert = home / f"{name}.crt"
        self.key = home / f"{name}.key"
        self.openssl(
            "req", "-x509", *self.fresh(self.key), "-out", self.cert,
            "-days", "3650", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE")
        self.own(self.cert, self.key)

    @staticmethod
    def fresh(key, kind="ec"):
        how = {"ec": ["-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:prime256v1"],
               "p384": ["-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:secp384r1"],
               "ed25519": ["-newkey", "ed25519"],
               "rsa": ["-newkey", "rsa:2048"],
               "weak": ["-newkey", "rsa:1024"]}
        return [*how[kind], "-nodes", "-keyout", key]

    def openssl(self, *args, **how):
        subprocess.run(["openssl", *map(str, args)], check=True,
                       capture_output=True, text=True, **how)

    def own(self, cert, key):
        self.stage.own(cert, 0o644)
        self.stage.own(key, 0o600)

    def issue(self, name, *, san="DNS:localhost,IP:127.0.0.1",
              usage=SERVER, days=365, cn=None, kind="ec", late=False):
        """
        A certificate and its key, in this order.  days: how long it is good
        from now on; negative: it ended so long ago.  late: it is not yet.
        """
        cert = self.home / f"{name}.crt"
        key = self.home / f"{name}.key"
        csr = self.home / f"{name}.csr"
        ext = self.home / f"{name}.ext"
        ext.write_text(f"extendedKeyUsage={usage}\n" +
                       (f"subjectAltName={san}\n" if san else ""))
        self.openssl("req", "-new", *self.fresh(key, kind), "-out", csr,
                     "-subj", f"/CN={cn or name}")
        if late:
            self.ca("-batch", "-notext", "-in", csr, "-extfile", ext,
                    "-startdate", "20990101000000Z",
                    "-enddate", "20990201000000Z", "-out", cert)
        else:
            self.serial += 1
            self.openssl("x509", "-req", "-in", csr, "-CA", self.cert,
                         "-CAkey", self.key, "-set_serial", self.serial,
                         "-days", days, "-extfile", ext, "-out", cert)
        self.own(cert, key)
        return cert, key

    def alone(self, name, usage=CLIENT):
        """One that nobody but itself vouches for, and its key."""
        cert = self.home / f"{name}.crt"
        key = self.home / f"{name}.key"
        self.openssl("req", "-x509", *self.fresh(key), "-out", cert,
                     "-subj", f"/CN={name}", "-addext",
                     f"extendedKeyUsage={usage}")
        self.own(cert, key)
        return cert, key

    def ca(self, *args):
        """As a CA that keeps records; they are those of this call."""
        (self.home / "ca.cnf").write_text(
            "[ca]\ndefault_ca = x\n[x]\n"
            f"database = {self.home / 'index'}\ndefault_md = sha256\n"
            f"new_certs_dir = {self.home}\nrand_serial = yes\n"
            "policy = any\n[any]\ncommonName = supplied\n")
        if "-gencrl" not in args:
            (self.home / "index").write_text("")
        self.openssl("ca", "-config", self.home / "ca.cnf",
                     "-keyfile", self.key, "-cert", self.cert, *args)

    def crl(self, days, revoked=(), name="ca"):
        """A list, good for so long from now on."""
        path = self.home / f"{name}.crl"
        when = [] if days > 0 else [
            "-crl_lastupdate", "20200101000000Z",
            "-crl_nextupdate", "20200102000000Z"]
        (self.home / "index").write_text("")
        for cert in revoked:
            self.ca("-revoke", cert)
        self.ca("-gencrl", "-out", path, *(when or ["-crldays", days]))
        self.stage.own(path, 0o644)
        return path
