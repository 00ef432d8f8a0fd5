//! What the running kernel understands, read from `/dev/nvme-fabrics`.
//!
//! Since 5.17 a read without a controller answers its whole token table:
//! `instance=-1,cntlid=-1,transport=%s,traddr=%s,…\n`. Older kernels answer `EINVAL`. The list is
//! the same for every transport, and listed does not mean usable: 6.1 lists `dhchap_secret`
//! even where authentication is not built in.

use std::io::{self, Read};

use crate::open::OpenDeviceError;
use crate::options::ConnectOptions;
use crate::token::TokenSet;

/// Larger than any kernel's list.
const MAX_LIST: u64 = 4096;

/// The tokens of the running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportedOptions {
    tokens: TokenSet,
    unknown: Vec<String>,
    source: SupportedSource,
}

/// Where the set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SupportedSource {
    /// The kernel listed them.
    Listed,
    /// The kernel is older than 5.17 and cannot: [`TokenSet::LISTLESS`].
    Assumed,
}

/// Why the list could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SupportedError {
    /// The device could not be opened.
    #[error(transparent)]
    Device(#[from] OpenDeviceError),
    /// The device could not be read.
    #[error("cannot read the list of supported options")]
    Read(#[source] io::Error),
    /// The text is no such list.
    #[error("list of supported options {text:?} does not start with instance=-1,cntlid=-1")]
    Malformed {
        /// The start of what was read.
        text: String,
    },
}

impl SupportedOptions {
    /// Reads the list from the device, which must be opened for this read alone: a reading moves
    /// its position, and the reply to a connect is read from the start.
    ///
    /// It waits while another connect of the host is in the kernel.
    ///
    /// # Errors
    /// The read fails with anything but `EINVAL`, or the text is no list.
    pub fn read<D: Read>(device: &mut D) -> Result<SupportedOptions, SupportedError> {
        let mut text = String::new();
        match device.take(MAX_LIST).read_to_string(&mut text) {
            Ok(_) => SupportedOptions::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(SupportedOptions {
                tokens: TokenSet::LISTLESS,
                unknown: Vec::new(),
                source: SupportedSource::Assumed,
            }),
            Err(error) => Err(SupportedError::Read(error)),
        }
    }

    fn parse(text: &str) -> Result<SupportedOptions, SupportedError> {
        let list = text
            .trim_end_matches('\n')
            .strip_prefix("instance=-1,cntlid=-1")
            .ok_or_else(|| SupportedError::Malformed {
                text: text.chars().take(80).collect(),
            })?;
        let mut tokens = TokenSet::empty();
        let mut unknown = Vec::new();
        for piece in list.split(',').filter(|piece| !piece.is_empty()) {
            let name = piece.split_once('=').map_or(piece, |(name, _)| name);
            match TokenSet::from_token(name) {
                Some(token) => tokens |= token,
                None => unknown.push(name.to_owned()),
            }
        }
        Ok(SupportedOptions {
            tokens,
            unknown,
            source: SupportedSource::Listed,
        })
    }

    /// The tokens that this crate knows and the kernel takes.
    #[must_use]
    pub fn tokens(&self) -> TokenSet {
        self.tokens
    }

    /// Tokens of a newer kernel that this crate does not know.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether the kernel said so, or it is an assumption.
    #[must_use]
    pub fn source(&self) -> SupportedSource {
        self.source
    }

    /// The tokens of `options` that the kernel would answer with `EINVAL`.
    #[must_use]
    pub fn missing(&self, options: &ConnectOptions) -> TokenSet {
        options.tokens() - self.tokens
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use nvme_sysfs::{Nqn, Transport};

    use super::*;
    use crate::tuning::ConnectTuning;

    /// What a kernel of that suite answered.
    fn captured(suite: &str) -> SupportedOptions {
        let path = format!("../fixtures/supported/{suite}.txt");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut file = File::open(path).expect(suite);
        SupportedOptions::read(&mut file).expect(suite)
    }

    struct Refusing(i32);

    impl Read for Refusing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(self.0))
        }
    }

    fn read(text: &str) -> Result<SupportedOptions, SupportedError> {
        SupportedOptions::read(&mut text.as_bytes())
    }

    #[test]
    fn the_lists_of_three_kernels_are_read_to_the_last_token() {
        for (suite, lacks) in [
            ("bookworm", "keyring, tls_key, tls, concat"),
            ("trixie", "concat"),
            ("sid", ""),
        ] {
            let supported = captured(suite);
            let missing = TokenSet::all() - supported.tokens();
            assert_eq!(missing.to_string(), lacks, "{suite}");
            assert_eq!(supported.source(), SupportedSource::Listed);
            assert!(supported.unknown().is_empty(), "{suite}");
        }
    }

    #[test]
    fn tokens_of_a_newer_kernel_are_kept_and_do_no_harm() {
        let supported = read("instance=-1,cntlid=-1,nqn=%s,recovery_delay=%d,x\n").expect("a list");
        assert_eq!(supported.tokens(), TokenSet::NQN);
        assert_eq!(supported.unknown(), ["recovery_delay", "x"]);
    }

    #[test]
    fn a_kernel_that_cannot_list_gets_the_documented_set() {
        let supported = SupportedOptions::read(&mut Refusing(22)).expect("an assumption");
        assert_eq!(supported.source(), SupportedSource::Assumed);
        assert_eq!(supported.tokens(), TokenSet::LISTLESS);
        assert!(supported.tokens().contains(TokenSet::CTRL_LOSS_TMO));
        assert!(
            !supported
                .tokens()
                .intersects(TokenSet::TLS | TokenSet::DHCHAP_SECRET)
        );
    }

    #[test]
    fn any_other_failure_is_an_error() {
        let error = SupportedOptions::read(&mut Refusing(5)).expect_err("EIO");
        assert!(matches!(error, SupportedError::Read(_)));
        for text in ["", "\n", "instance=3,cntlid=1\n", "garbage"] {
            let error = read(text).expect_err(text);
            assert!(
                matches!(error, SupportedError::Malformed { .. }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_the_kernel_lacks_is_named() {
        let nqn: Nqn = "nqn.2024-01.com.example:vol1".parse().expect("a name");
        let options = ConnectOptions::builder(Transport::Tcp, nqn)
            .traddr("192.0.2.1")
            .tuning(ConnectTuning {
                hdr_digest: true,
                tos: Some(7),
                ..ConnectTuning::default()
            })
            .build()
            .expect("valid options");
        let supported =
            read("instance=-1,cntlid=-1,transport=%s,nqn=%s,traddr=%s,trsvcid=%s").expect("a list");
        assert_eq!(supported.missing(&options).to_string(), "hdr_digest, tos");
    }
}
