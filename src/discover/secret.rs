//! A secret that machines share, and the signature that proves it: HMAC-SHA256 (RFC 2104) over
//! every field of a record, its time stamp among them.
//!
//! A record that was heard can be sent again by anybody while its time stamp is fresh. It still
//! says the same of the same machine, whose addresses are signed too.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::record::Txt;

/// The key of the signature in a TXT record.
const MAC: &str = "mac";

/// What the signature is for: the same secret may sign other things elsewhere.
const PURPOSE: &[u8] = b"rankpool announcement 1";

/// Bytes. Records are heard by everybody, who may try secrets on them as fast as they can.
const SHORTEST: usize = 16;

/// Bytes: a file that is longer is another one by mistake.
const LONGEST: u64 = 4096;

/// What the machines share.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads a secret from a file that its owner alone may read; the end of its last line does
    /// not count.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| {
            format!(
                "cannot read the secret `{shown}`; `(umask 077; head -c 32 /dev/urandom | base64 \
                 > {shown})` makes one"
            )
        })?;
        let metadata = file.metadata().with_context(|| format!("cannot read `{shown}`"))?;
        ensure!(metadata.is_file(), "the secret `{shown}` is no file; name a file");
        let mode = metadata.permissions().mode() & 0o777;
        let others = mode & 0o077;
        ensure!(
            others == 0,
            "the secret `{shown}` is open to others than its owner (mode {mode:04o}); close it by \
             `chmod 600 {shown}`"
        );
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).with_context(|| format!("`{shown}`"))?;
        ensure!(
            bytes.len() as u64 <= LONGEST,
            "the secret `{shown}` is longer than {LONGEST} bytes; name the right file"
        );
        Self::new(&bytes).with_context(|| format!("the secret `{shown}` does not do"))
    }

    /// Takes bytes as a secret.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.trim_ascii_end();
        ensure!(
            bytes.len() >= SHORTEST,
            "it has {} bytes, and can be guessed; use at least {SHORTEST}, such as those of \
             `head -c 32 /dev/urandom | base64`",
            bytes.len()
        );
        Ok(Self(bytes.to_owned()))
    }

    /// Signs a record.
    pub fn sign(&self, txt: &mut Txt) {
        let digits: String = hex(&self.mac(txt).finalize().into_bytes());
        txt.insert(MAC.to_owned(), digits.into_bytes());
    }

    /// Why a record's signature is not this secret's. Takes as long for every wrong one.
    pub fn check(&self, txt: &Txt) -> Result<()> {
        let mac = txt.get(MAC).context("it is not signed; name the secret there too")?;
        let bytes = unhex(mac).context("its signature is not one")?;
        self.mac(txt).verify_slice(&bytes).ok().context("it has another secret")
    }

    /// Over each key and value with its length before it, so that no two records are the same
    /// bytes.
    fn mac(&self, txt: &Txt) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        mac.update(PURPOSE);
        for (key, value) in txt.iter().filter(|(key, _)| *key != MAC) {
            for part in [key.as_bytes(), value] {
                mac.update(&(part.len() as u64).to_be_bytes());
                mac.update(part);
            }
        }
        mac
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes everything");
        digits
    })
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(*pair.get(1)?)?).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txt(fields: &[(&str, &str)]) -> Txt {
        fields.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn a_signature_is_of_the_fields_and_not_of_their_bytes_in_a_row() {
        let secret = Secret::new(b"sixteen bytes it").unwrap();
        let mut one = txt(&[("a", "bc"), ("d", "")]);
        secret.sign(&mut one);
        assert!(secret.check(&one).is_ok());
        for other in [&[("ab", "c"), ("d", "")][..], &[("a", "bcd")], &[("a", "bc")]] {
            let mut other = txt(other);
            other.insert(MAC.to_owned(), one[MAC].clone());
            assert_eq!(secret.check(&other).unwrap_err().to_string(), "it has another secret");
        }
    }

    /// Computed by Python's `hmac`.
    #[test]
    fn the_signature_is_hmac_sha_256() {
        let mut signed = txt(&[("name", "h1")]);
        Secret::new(b"sixteen bytes it\n").unwrap().sign(&mut signed);
        assert_eq!(
            String::from_utf8_lossy(&signed[MAC]),
            "37f877e12e2dbc7a4a39bf64f4c903259995cd0eda778e00bde252104f875033"
        );
    }

    #[test]
    fn short_secrets_are_refused() {
        for bytes in [&b""[..], b"\n", b"password\n", b"123456789012345 \n"] {
            let error = Secret::new(bytes).unwrap_err().to_string();
            assert!(error.contains("can be guessed; use at least 16"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"sixteen bytes it").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
