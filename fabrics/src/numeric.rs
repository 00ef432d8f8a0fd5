//! IP addresses as the kernel wants them: numeric, unbracketed, in one canonical spelling.
//!
//! `inet_pton_with_scope` in the kernel parses them; `nvmf_ip_options_match` compares them as
//! strings. So "::1" and "0:0:0:0:0:0:0:1" would be two controllers, unless every address is
//! written in one spelling, which [`NumericAddress`]'s Display is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest interface name: `IFNAMSIZ` with its NUL is 16.
const MAX_INTERFACE: usize = 15;

/// An IPv4 or IPv6 address, with the interface of a link-local one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NumericAddress {
    ip: IpAddr,
    scope: Option<String>,
}

/// Which rule an address breaks. The caller knows the field and shows the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// A host name, a bracketed or a malformed address.
    #[error("must be a numeric IPv4 or IPv6 address without brackets or host name")]
    NotNumeric,
    /// `%iface` behind an address that is not link-local.
    #[error("must be a link-local IPv6 address to have a %interface")]
    ScopeNotLinkLocal,
    /// What follows the `%` is not an interface name.
    #[error(
        "must have an interface name of 1 to 15 bytes without '/', ':' and white space after %"
    )]
    BadScope,
}

impl NumericAddress {
    /// The address without its scope.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Interface of a link-local address, as given after `%`.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Whether it is the wildcard `0.0.0.0` or `::`.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.ip.is_unspecified()
    }

    /// Whether it is link-local and does not say on which interface.
    #[must_use]
    pub fn needs_scope(&self) -> bool {
        let link_local = matches!(self.ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        link_local && self.scope.is_none()
    }

    /// Whether both are IPv4 or both IPv6.
    #[must_use]
    pub fn same_family(&self, other: &NumericAddress) -> bool {
        self.ip.is_ipv4() == other.ip.is_ipv4()
    }
}

impl From<IpAddr> for NumericAddress {
    fn from(ip: IpAddr) -> NumericAddress {
        NumericAddress { ip, scope: None }
    }
}

impl FromStr for NumericAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<NumericAddress, ParseAddressError> {
        let (address, scope) = match text.split_once('%') {
            Some((address, scope)) => (address, Some(scope)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| ParseAddressError::NotNumeric)?;
        if let Some(scope) = scope {
            match ip {
                IpAddr::V6(v6) if v6.is_unicast_link_local() => {}
                _ => return Err(ParseAddressError::ScopeNotLinkLocal),
            }
            if !is_interface_name(scope) {
                return Err(ParseAddressError::BadScope);
            }
        }
        let scope = scope.map(str::to_owned);
        Ok(NumericAddress { ip, scope })
    }
}

impl fmt::Display for NumericAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rust prints IPv6 as RFC 5952 wants it, IPv4-mapped addresses as ::ffff:a.b.c.d.
        write!(f, "{}", self.ip)?;
        match &self.scope {
            Some(scope) => write!(f, "%{scope}"),
            None => Ok(()),
        }
    }
}

/// The kernel's own rule (`dev_valid_name`), narrowed to printable ASCII without a comma.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:,%".contains(&byte);
    !name.is_empty()
        && name.len() <= MAX_INTERFACE
        && name != "."
        && name != ".."
        && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_prints_the_same() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("0000:0000::0001", "::1"),
            ("2001:DB8::A", "2001:db8::a"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("::FFFF:192.0.2.1", "::ffff:192.0.2.1"),
            ("::ffff:c000:201", "::ffff:192.0.2.1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("FE80:0::1%eth0.7", "fe80::1%eth0.7"),
        ];
        for (text, canonical) in cases {
            let address: NumericAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), canonical);
        }
    }

    #[test]
    fn an_ipv4_mapped_address_stays_ipv6() {
        let mapped: NumericAddress = "::ffff:192.0.2.1".parse().expect("an address");
        let v4: NumericAddress = "192.0.2.1".parse().expect("an address");
        assert!(!mapped.same_family(&v4));
    }

    #[test]
    fn what_is_not_an_address_is_refused_by_its_rule() {
        use ParseAddressError::{BadScope, NotNumeric, ScopeNotLinkLocal};
        let cases = [
            ("", NotNumeric),
            ("localhost", NotNumeric),
            ("[::1]", NotNumeric),
            ("192.0.2.1:4420", NotNumeric),
            ("192.0.2", NotNumeric),
            ("192.0.2.01", NotNumeric),
            ("0x7f.0.0.1", NotNumeric),
            ("192.0.2.1,nqn=x", NotNumeric),
            ("192.0.2.1\n", NotNumeric),
            (" 192.0.2.1", NotNumeric),
            ("192.0.2.1/24", NotNumeric),
            ("192.0.2.1%eth0", ScopeNotLinkLocal),
            ("2001:db8::1%eth0", ScopeNotLinkLocal),
            ("fe80::1%", BadScope),
            ("fe80::1%eth0,discovery", BadScope),
            ("fe80::1%a%b", BadScope),
            ("fe80::1%0123456789abcdef", BadScope),
            ("fe80::1%eth 0", BadScope),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<NumericAddress>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn interface_names_are_those_the_kernel_takes() {
        for name in ["eth0", "eth0.100", "a", "123456789012345"] {
            assert!(is_interface_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a,b",
            "1234567890123456",
        ] {
            assert!(!is_interface_name(name), "{name}");
        }
    }
}
