//! What in a text is a secret, or was meant for one.

/// How the secrets of NVMe begin, in small letters: DH-HMAC-CHAP's, and TLS's.
const SECRETS: [&str; 2] = ["dhhc-", "nvmetlskey-"];

/// Where in a text a secret begins, in whichever spelling.
pub(super) fn find_secret(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    SECRETS.iter().filter_map(|begin| text.find(begin)).min()
}
