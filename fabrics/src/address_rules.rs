//! The rules of addresses, and their canonical spelling.
//!
//! The kernel compares addresses as strings to find duplicates, so each is brought into the one
//! spelling in which it is written.

use crate::numeric::{NumericAddress, is_interface_name};
use crate::options::ConnectOptions;
use crate::problem::OptionProblem;
use crate::token::TokenSet;

/// Rules of TCP and RDMA: numeric addresses of one family, a port, an interface.
pub(crate) fn check_ip(draft: &mut ConnectOptions, problems: &mut Vec<OptionProblem>) {
    let address = &mut draft.address;
    let traddr = canonical_ip(TokenSet::TRADDR, &mut address.traddr, problems);
    let host_traddr = canonical_ip(TokenSet::HOST_TRADDR, &mut address.host_traddr, problems);
    let mut refuse = |option: TokenSet, value: &str, rule: &str| {
        problems.push(OptionProblem::Value {
            option,
            value: value.to_owned(),
            rule: rule.to_owned(),
        });
    };
    if let (Some(to), Some(from)) = (&traddr, &host_traddr)
        && !to.same_family(from)
    {
        let rule = format!("must be of the same address family as traddr {to}");
        refuse(TokenSet::HOST_TRADDR, &from.to_string(), &rule);
    }
    if let Some(to) = &traddr
        && to.needs_scope()
        && address.host_iface.is_none()
    {
        let rule = "must name its interface (%iface), as every link-local address";
        refuse(TokenSet::TRADDR, &to.to_string(), rule);
    }
    if let Some(port) = &address.trsvcid
        && !is_port(port)
    {
        let rule = "must be a port from 1 to 65535 without sign or leading zeros";
        refuse(TokenSet::TRSVCID, port, rule);
    }
    if let Some(name) = &address.host_iface
        && !is_interface_name(name)
    {
        let rule = "must be an interface name of 1 to 15 bytes";
        refuse(TokenSet::HOST_IFACE, name, rule);
    }
}

/// Replaces `text` by its canonical spelling.
fn canonical_ip(
    option: TokenSet,
    text: &mut Option<String>,
    problems: &mut Vec<OptionProblem>,
) -> Option<NumericAddress> {
    let given = text.as_mut()?;
    let parsed = given
        .parse::<NumericAddress>()
        .map_err(|error| error.to_string());
    match parsed {
        Ok(address) if !address.is_unspecified() => {
            *given = address.to_string();
            Some(address)
        }
        other => {
            let rule = other
                .err()
                .unwrap_or_else(|| "must not be the wildcard address".to_owned());
            let value = given.clone();
            problems.push(OptionProblem::Value {
                option,
                value,
                rule,
            });
            None
        }
    }
}

/// A decimal port in the one spelling that the kernel's duplicate check can compare.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0')
        && text.parse::<u16>().is_ok()
}

/// Rules of Fibre Channel: two pairs of names.
pub(crate) fn check_fc(draft: &mut ConnectOptions, problems: &mut Vec<OptionProblem>) {
    let address = &mut draft.address;
    for (option, text) in [
        (TokenSet::TRADDR, &mut address.traddr),
        (TokenSet::HOST_TRADDR, &mut address.host_traddr),
    ] {
        let Some(text) = text else { continue };
        if is_wwn_pair(text) {
            text.make_ascii_lowercase();
        } else {
            problems.push(OptionProblem::Value {
                option,
                value: text.clone(),
                rule: "must be of the form nn-0x<16 hex digits>:pn-0x<16 hex digits>".to_owned(),
            });
        }
    }
}

/// `nn-0x…:pn-0x…`, node and port name as `nvme_fc_parse_traddr` reads them.
fn is_wwn_pair(text: &str) -> bool {
    let wwn = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.strip_prefix("nn-0x")
        .and_then(|rest| rest.split_once(":pn-0x"))
        .is_some_and(|(node, port)| wwn(node) && wwn(port))
}

/// Rules of any other transport: the address is a plain word.
pub(crate) fn check_loop(draft: &ConnectOptions, problems: &mut Vec<OptionProblem>) {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    if let Some(text) = &draft.address.traddr
        && (text.is_empty() || !text.bytes().all(plain))
    {
        problems.push(OptionProblem::Value {
            option: TokenSet::TRADDR,
            value: text.clone(),
            rule: "must be printable ASCII without comma and white space".to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Transport;

    use super::*;
    use crate::fixture::{refusal, tcp, volume};

    #[test]
    fn no_value_can_carry_a_separator_or_control_character() {
        for bad in ["a,discovery", "a\nb", "a\0b", "a\rb", "a\tb", "", " ", "é"] {
            assert!(tcp().traddr(bad).build().is_err(), "traddr {bad:?}");
            assert!(tcp().trsvcid(bad).build().is_err(), "trsvcid {bad:?}");
            assert!(
                tcp().host_traddr(bad).build().is_err(),
                "host_traddr {bad:?}"
            );
            assert!(tcp().host_iface(bad).build().is_err(), "host_iface {bad:?}");
            let mut loop_back = ConnectOptions::builder(Transport::Loop, volume());
            assert!(
                loop_back.traddr(bad).build().is_err(),
                "loop traddr {bad:?}"
            );
        }
    }

    #[test]
    fn a_port_is_plain_decimal_from_1_to_65535() {
        for bad in [
            "0", "00", "04420", "0x1144", "65536", "-1", "+1", "4420 ", "http",
        ] {
            let text = refusal(tcp().trsvcid(bad));
            let start = format!("trsvcid {bad:?} must be a port from 1 to 65535");
            assert!(text.starts_with(&start), "{text}");
        }
        tcp().trsvcid("1").build().expect("the least");
        tcp().trsvcid("65535").build().expect("the most");
    }

    #[test]
    fn addresses_of_different_families_and_wildcards_are_refused() {
        let text = refusal(tcp().host_traddr("2001:db8::1"));
        assert!(
            text.ends_with("of the same address family as traddr 192.0.2.1"),
            "{text}"
        );
        assert!(refusal(tcp().traddr("0.0.0.0")).ends_with("must not be the wildcard address"));
        assert!(refusal(tcp().traddr("0::0")).ends_with("must not be the wildcard address"));
        assert!(refusal(tcp().traddr("fe80::1")).contains("must name its interface"));
        tcp().traddr("fe80::1%eth0").build().expect("scoped");
        tcp()
            .traddr("fe80::1")
            .host_iface("eth0")
            .build()
            .expect("bound");
    }

    #[test]
    fn fibre_channel_names_have_one_form_and_one_spelling() {
        let fc = |traddr: &str| {
            let mut builder = ConnectOptions::builder(Transport::Fc, volume());
            builder
                .traddr(traddr)
                .host_traddr("nn-0x1000000000000001:pn-0x1000000000000002");
            builder.build()
        };
        let options = fc("nn-0x20000090FAE06325:pn-0x20000090FAE06326").expect("a port");
        let traddr = options.address().traddr.as_deref();
        assert_eq!(traddr, Some("nn-0x20000090fae06325:pn-0x20000090fae06326"));
        for bad in [
            "nn-0x20000090fae06325,pn-0x20000090fae06326",
            "nn-20000090fae06325:pn-20000090fae06326",
            "nn-0x20000090fae0632:pn-0x20000090fae06326",
            "nn-0x20000090fae06325:pn-0x20000090fae0632g",
            "192.0.2.1",
        ] {
            assert!(fc(bad).is_err(), "{bad}");
        }
    }
}
