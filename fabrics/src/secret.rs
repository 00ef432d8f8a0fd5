//! DH-HMAC-CHAP secrets in their interchange form, `DHHC-1:hh:base64(key || crc32):`.
//!
//! A malformed secret must never reach the kernel: it answers `EINVAL` and prints the secret to
//! its log. So the form, the length and the checksum are proved here, as `nvme_auth_extract_key`
//! in the kernel will prove them again.
//!
//! Invariant: no message of this module contains any part of a secret.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

/// Length of the CRC-32 behind the key.
const CRC_LEN: usize = 4;

/// Larger than any secret: a file beyond it is not one.
const MAX_FILE: usize = 4096;

/// A proved DH-HMAC-CHAP secret. Debug prints `***`; the text is zeroed on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: Zeroizing<String>,
    hash: SecretHash,
    bytes: usize,
}

/// The hash by which host and controller transform a secret, with the host's name, before they use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretHash {
    /// It is used as it stands.
    None,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl SecretHash {
    /// Each, by its number in the NVMe base specification.
    pub const ALL: [SecretHash; 4] = [
        SecretHash::None,
        SecretHash::Sha256,
        SecretHash::Sha384,
        SecretHash::Sha512,
    ];

    /// Bytes of the key that it wants; `None` when any length will do.
    #[must_use]
    pub fn key_bytes(self) -> Option<usize> {
        match self {
            SecretHash::None => None,
            SecretHash::Sha256 => Some(32),
            SecretHash::Sha384 => Some(48),
            SecretHash::Sha512 => Some(64),
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SecretHash::None => "none",
            SecretHash::Sha256 => "SHA-256",
            SecretHash::Sha384 => "SHA-384",
            SecretHash::Sha512 => "SHA-512",
        }
    }

    fn code(self) -> &'static str {
        match self {
            SecretHash::None => "00",
            SecretHash::Sha256 => "01",
            SecretHash::Sha384 => "02",
            SecretHash::Sha512 => "03",
        }
    }

    fn of(code: &str) -> Option<SecretHash> {
        SecretHash::ALL.into_iter().find(|hash| hash.code() == code)
    }
}

/// Why no secret could be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateSecretError {
    /// It cannot have that length.
    #[error(transparent)]
    Length(#[from] ParseSecretError),
    /// The kernel gave no random bytes.
    #[error("cannot get random bytes")]
    Random(#[source] io::Error),
}

/// Why a text is not a DH-HMAC-CHAP secret. Never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseSecretError {
    /// It does not have the form `DHHC-1:hh:base64:`.
    #[error("secret is not of the form DHHC-1:hh:base64:")]
    Form,
    /// The hash field is none of 00, 01, 02, 03.
    #[error("secret names an unknown hash: hh must be 00 (none), 01, 02 or 03")]
    Hash,
    /// What should be base64 is not.
    #[error("secret's key is not base64")]
    Base64,
    /// The key is not 32, 48 or 64 bytes long.
    #[error("secret's key is {found} bytes long: 32, 48 or 64 are allowed")]
    Length {
        /// Bytes without the checksum.
        found: usize,
    },
    /// The hash wants another length than the key has. Kernels before 6.7 refuse such a secret
    /// with `EINVAL`, nvme-cli refuses it too; later kernels would take it.
    #[error("secret's key is {found} bytes long, its hash wants {expected}")]
    HashLength {
        /// Bytes without the checksum.
        found: usize,
        /// 32 for hash 01, 48 for 02, 64 for 03.
        expected: usize,
    },
    /// The CRC-32 behind the key is not the key's: a typing error.
    #[error("secret's checksum does not match its key")]
    Checksum,
}

/// Why no secret could be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum ReadSecretError {
    /// The file could not be read.
    #[error("cannot read the secret file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the read answered.
        source: io::Error,
    },
    /// The file is far larger than a secret.
    #[error("secret file {} is longer than {MAX_FILE} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("secret file {} holds no valid secret", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseSecretError,
    },
}

impl Secret {
    /// Reads a secret from a file; one line break at its end is allowed.
    ///
    /// # Errors
    /// The file cannot be read, is too long, or holds no valid secret; each names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Secret, ReadSecretError> {
        let path = path.as_ref();
        let failed = |source| ReadSecretError::Read {
            path: path.to_owned(),
            source,
        };
        // Room for everything that is read: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE + 1));
        let file = File::open(path).map_err(failed)?;
        let read = file.take(MAX_FILE as u64 + 1).read_to_string(&mut text);
        if read.map_err(failed)? > MAX_FILE {
            let path = path.to_owned();
            return Err(ReadSecretError::TooLong { path });
        }
        Secret::from_line(&text).map_err(|source| ReadSecretError::Invalid {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a secret that an editor or a tool may have given one line break at its end.
    ///
    /// # Errors
    /// The text is no valid secret.
    pub fn from_line(text: &str) -> Result<Secret, ParseSecretError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        line.strip_suffix('\r').unwrap_or(line).parse()
    }

    /// A new one, with a key of so many random bytes.
    ///
    /// # Errors
    /// The length is not allowed, or not with this hash; or the kernel gave no random bytes.
    pub fn generate(hash: SecretHash, bytes: usize) -> Result<Secret, GenerateSecretError> {
        check_length(bytes, hash.key_bytes())?;
        let mut key = Zeroizing::new(vec![0; bytes + CRC_LEN]);
        let mut filled = 0;
        while filled < bytes {
            filled += getrandom(&mut key[filled..bytes], GetRandomFlags::empty())
                .map_err(|errno| GenerateSecretError::Random(errno.into()))?;
        }
        let crc = crc32fast::hash(&key[..bytes]).to_le_bytes();
        key[bytes..].copy_from_slice(&crc);
        let base64 = Zeroizing::new(Base64::encode_string(&key));
        let text = Zeroizing::new(format!("DHHC-1:{}:{}:", hash.code(), *base64));
        Ok(text.parse()?)
    }

    /// How it is transformed.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        self.hash
    }

    /// Bytes of its key.
    #[must_use]
    pub fn key_bytes(&self) -> usize {
        self.bytes
    }

    /// The text as the kernel wants it: for the option string, and for a file that only root can
    /// read.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl FromStr for Secret {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Secret, ParseSecretError> {
        let body = text
            .strip_prefix("DHHC-1:")
            .and_then(|rest| rest.strip_suffix(':'))
            .ok_or(ParseSecretError::Form)?;
        let (hash, base64) = body.split_once(':').ok_or(ParseSecretError::Form)?;
        let hash = SecretHash::of(hash).ok_or(ParseSecretError::Hash)?;
        let decoded =
            Zeroizing::new(Base64::decode_vec(base64).map_err(|_| ParseSecretError::Base64)?);
        Ok(Secret {
            text: Zeroizing::new(text.to_owned()),
            hash,
            bytes: check_key(&decoded, hash.key_bytes())?,
        })
    }
}

/// Checks length and checksum of `key || crc32_le(key)`, and returns the length of the key.
fn check_key(decoded: &[u8], wanted: Option<usize>) -> Result<usize, ParseSecretError> {
    let found = decoded.len().saturating_sub(CRC_LEN);
    check_length(found, wanted)?;
    let (key, crc) = decoded.split_at(found);
    if crc != crc32fast::hash(key).to_le_bytes() {
        return Err(ParseSecretError::Checksum);
    }
    Ok(found)
}

fn check_length(found: usize, wanted: Option<usize>) -> Result<(), ParseSecretError> {
    if ![32, 48, 64].contains(&found) {
        return Err(ParseSecretError::Length { found });
    }
    if let Some(expected) = wanted.filter(|&expected| expected != found) {
        return Err(ParseSecretError::HashLength { found, expected });
    }
    Ok(())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A secret over `len` bytes of 0x5a with a right checksum.
    fn secret(hash: &str, len: usize) -> String {
        let mut key = vec![0x5a; len];
        key.extend(crc32fast::hash(&key).to_le_bytes());
        format!("DHHC-1:{hash}:{}:", Base64::encode_string(&key))
    }

    #[test]
    fn every_hash_takes_its_own_length_and_none_takes_all() {
        for (hash, len) in [("00", 32), ("00", 48), ("00", 64), ("01", 32), ("02", 48)] {
            secret(hash, len).parse::<Secret>().expect(hash);
        }
        assert_eq!(
            secret("03", 32).parse::<Secret>(),
            Err(ParseSecretError::HashLength {
                found: 32,
                expected: 64
            })
        );
    }

    #[test]
    fn the_example_of_the_specification_is_accepted() {
        // The example key of the NVMe specification, as kernel patches and Redfish mock-ups quote it.
        let text = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
        text.parse::<Secret>().expect("a valid secret");
    }

    /// As the tests of ceph-nvmeof quote them.
    #[test]
    fn secrets_of_others_say_their_hash_and_length() {
        for (text, hash, bytes) in [
            (
                "DHHC-1:00:RbgmpCGRaCwY1m4SexVxhf7tsJCXuAg77iH0Z18Ys25TgI/K:",
                SecretHash::None,
                32,
            ),
            (
                "DHHC-1:01:vYcm5QemILkz5zSIeZidb4nPGcxongu2l/OaWMRgM9iIk/2A:",
                SecretHash::Sha256,
                32,
            ),
            (
                "DHHC-1:02:Hi9ha9idssh3FgURRbfMUvOY7NlHiApDCmHhmIRCdhdlNQwebHEt/7DHoag3SmCHFvei/Q==:",
                SecretHash::Sha384,
                48,
            ),
        ] {
            let secret: Secret = text.parse().expect("a valid secret");
            assert_eq!((secret.hash(), secret.key_bytes()), (hash, bytes));
        }
    }

    #[test]
    fn a_new_secret_is_valid_and_never_the_same() {
        for (hash, bytes) in [
            (SecretHash::None, 32),
            (SecretHash::None, 48),
            (SecretHash::None, 64),
            (SecretHash::Sha256, 32),
            (SecretHash::Sha384, 48),
            (SecretHash::Sha512, 64),
        ] {
            let new = || Secret::generate(hash, bytes).expect("a secret");
            let (one, other) = (new(), new());
            assert_eq!((one.hash(), one.key_bytes()), (hash, bytes));
            assert_eq!(one.expose().parse::<Secret>(), Ok(one.clone()));
            assert_ne!(one, other);
        }
        for (hash, bytes) in [(SecretHash::None, 33), (SecretHash::Sha256, 48)] {
            let error = Secret::generate(hash, bytes).expect_err("no such length");
            assert!(matches!(error, GenerateSecretError::Length(_)), "{error}");
        }
    }

    #[test]
    fn a_malformed_secret_is_refused_by_its_own_rule() {
        let good = secret("00", 32);
        let cases = [
            ("", ParseSecretError::Form),
            ("DHHC-1:00", ParseSecretError::Form),
            ("DHHC-1:", ParseSecretError::Form),
            ("DHHC-2:00:AAAA:", ParseSecretError::Form),
            (good.trim_end_matches(':'), ParseSecretError::Form),
            ("DHHC-1:04:AAAA:", ParseSecretError::Hash),
            ("DHHC-1:1:AAAA:", ParseSecretError::Hash),
            ("DHHC-1:00:A,AA:", ParseSecretError::Base64),
            ("DHHC-1:00:AA\nA:", ParseSecretError::Base64),
            ("DHHC-1:00::", ParseSecretError::Length { found: 0 }),
            ("DHHC-1:00:AAAA:", ParseSecretError::Length { found: 0 }),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Secret>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn one_wrong_character_fails_the_checksum() {
        let good = secret("00", 32);
        let bad = good.replacen("Wlpa", "WlpZ", 1);
        assert_ne!(good, bad);
        assert_eq!(bad.parse::<Secret>(), Err(ParseSecretError::Checksum));
    }

    #[test]
    fn nothing_prints_a_secret() {
        let parsed: Secret = secret("00", 32).parse().expect("a valid secret");
        assert_eq!(format!("{parsed} {parsed:?}"), "*** ***");
    }

    #[test]
    fn a_file_may_end_in_one_line_break() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("key");
        for end in ["", "\n", "\r\n"] {
            fs::write(&path, secret("00", 32) + end).expect("a file");
            assert_eq!(
                Secret::from_file(&path).expect("a valid secret").expose(),
                secret("00", 32)
            );
        }
        fs::write(&path, secret("00", 32) + "\n\n").expect("a file");
        let error = Secret::from_file(&path).expect_err("two line breaks");
        assert!(error.to_string().contains("key holds no valid secret"));
    }

    #[test]
    fn a_missing_or_huge_file_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("key");
        let error = Secret::from_file(&path).expect_err("no file");
        assert!(error.to_string().ends_with("/key"), "{error}");
        fs::write(&path, vec![b'A'; 5000]).expect("a file");
        let error = Secret::from_file(&path).expect_err("too long");
        assert!(error.to_string().contains("longer than 4096"), "{error}");
    }
}
