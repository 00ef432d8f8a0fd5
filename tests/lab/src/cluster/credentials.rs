//! Who may ask the API server: a certificate authority, the server's certificate, and a token for each account.

use super::settings::NODE;

/// Who has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// May do everything; also what the controllers and the scheduler are.
    Administrator,
    /// The node's kubelet.
    Kubelet,
}

impl Account {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Administrator, Self::Kubelet];

    /// The name of its file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Kubelet => "kubelet",
        }
    }

    /// Worth nothing: whoever reads them has the guest already.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Administrator => "the-administrator-of-the-lab",
            Self::Kubelet => "the-kubelet-of-the-lab",
        }
    }
}

/// Keys and certificates, as PEM. Whoever boots a cluster makes them: no library that can is needed here.
#[derive(Clone)]
pub struct Credentials {
    /// The authority's certificate.
    pub authority: String,
    /// The API server's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The key that signs the tokens of accounts of services.
    pub accounts_key: String,
    /// What proves them.
    pub accounts_public: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials")
    }
}

impl Credentials {
    /// The file of tokens for the API server: token, name, UID, groups.
    #[must_use]
    pub fn token_file(&self) -> String {
        let administrator = Account::Administrator.token();
        let kubelet = Account::Kubelet.token();
        format!(
            "{administrator},administrator,1,system:masters\n\
            {kubelet},system:node:{NODE},2,system:nodes\n"
        )
    }

    /// What a client needs to reach the API server at an address.
    #[must_use]
    pub fn kubeconfig(&self, account: Account, server: &str) -> String {
        let authority = base64(self.authority.as_bytes());
        let token = account.token();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
            clusters:\n- name: lab\n  cluster: {{server: \"{server}\", certificate-authority-data: {authority}}}\n\
            users:\n- name: lab\n  user: {{token: {token}}}\n\
            contexts:\n- name: lab\n  context: {{cluster: lab, user: lab}}\n"
        )
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let digit = (bits >> (18 - 6 * index)) & 0x3f;
            let digit = usize::try_from(digit).expect("six bits");
            text.push(if index <= group.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_hold() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
