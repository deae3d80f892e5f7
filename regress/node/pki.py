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
              usage=SERVER, days=365, cn=None, kind="ec"):
        """
        A certificate and its key, in this order.  days: how long it is good
        from now on; negative: it ended so long ago.
        """
        cert = self.home / f"{name}.crt"
        key = self.home / f"{name}.key"
        csr = self.home / f"{name}.csr"
        ext = self.home / f"{name}.ext"
        ext.write_text(f"extendedKeyUsage={usage}\n" +
                       (f"subjectAltName={san}\n" if san else ""))
        self.openssl("req", "-new", *self.fresh(key, kind), "-out", csr,
                     "-subj", f"/CN={cn or name}")
        self.serial += 1
        self.openssl("x509", "-req", "-in", csr, "-CA", self.cert, "-CAkey",
                     self.key, "-set_serial", self.serial, "-days", days,
                     "-extfile", ext, "-out", cert)
        self.own(cert, key)
        return cert, key

    def crl(self, days):
        """A list of nobody, good for so long from now on."""
        path = self.home / "ca.crl"
        (self.home / "index").write_text("")
        (self.home / "crl.cnf").write_text(
            "[ca]\ndefault_ca = x\n[x]\n"
            f"database = {self.home / 'index'}\ndefault_md = sha256\n")
        when = [] if days > 0 else [
            "-crl_lastupdate", "20200101000000Z",
            "-crl_nextupdate", "20200102000000Z"]
        self.openssl("ca", "-gencrl", "-config", self.home / "crl.cnf",
                     "-keyfile", self.key, "-cert", self.cert, "-out", path,
                     *(when or ["-crldays", days]))
        self.stage.own(path, 0o644)
        return path
