//! The rules a set of options must keep, and the canonical spelling of its addresses.
//!
//! Sources: `nvmf_parse_options` and `nvmf_check_*_opts` in the kernel's `fabrics.c`, and the
//! parsers of the transports. The kernel has no escaping: it splits at commas and line breaks,
//! so a value that holds one would be two options.

use std::time::Duration;

use nvme_sysfs::{ControllerLoss, FastIoFail, Nqn, Transport};

use crate::encode::MAX_ENCODED;
use crate::numeric::{NumericAddress, is_interface_name};
use crate::options::ConnectOptions;
use crate::token::TokenSet;

/// Longest NQN that can be connected: `NVMF_NQN_SIZE` (223) counts the NUL.
pub const MAX_CONNECT_NQN: usize = 222;

/// Largest time that fits the kernel's `int`.
const MAX_SECONDS: u64 = 2_147_483_647;

/// Everything that is wrong with a set of options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct OptionsError {
    problems: Vec<OptionProblem>,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionProblem {
    /// Not one of tcp, rdma, fc, loop.
    #[error("transport {0} cannot be connected: tcp, rdma, fc or loop is wanted")]
    Transport(Transport),
    /// The transport cannot do without it.
    #[error("{option} is required for transport {transport}")]
    Missing {
        /// What is missing.
        option: TokenSet,
        /// Who wants it.
        transport: Transport,
    },
    /// The transport does not take it.
    #[error("{option} is not allowed for transport {transport}")]
    NotAllowed {
        /// What is too much.
        option: TokenSet,
        /// Who refuses it.
        transport: Transport,
    },
    /// The value breaks a rule.
    #[error("{option} {value:?} {rule}")]
    Value {
        /// Whose value.
        option: TokenSet,
        /// The value; secrets are checked by their own type.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// Two options go together.
    #[error("{option} needs {other}")]
    Needs {
        /// What was given.
        option: TokenSet,
        /// What was not.
        other: TokenSet,
    },
    /// Two options contradict each other.
    #[error("{option} and {other} exclude each other")]
    Excludes {
        /// One.
        option: TokenSet,
        /// The other.
        other: TokenSet,
    },
    /// The kernel takes one page.
    #[error("the options are {len} bytes long: the kernel takes at most {MAX_ENCODED}")]
    TooLong {
        /// Length of the encoded text.
        len: usize,
    },
}

impl OptionsError {
    /// The problems, in no particular order; never empty.
    #[must_use]
    pub fn problems(&self) -> &[OptionProblem] {
        &self.problems
    }
}

impl OptionProblem {
    /// The option that the problem is about, for a caller that names it otherwise.
    #[must_use]
    pub fn option(&self) -> Option<TokenSet> {
        match self {
            OptionProblem::Transport(_) => Some(TokenSet::TRANSPORT),
            OptionProblem::Missing { option, .. }
            | OptionProblem::NotAllowed { option, .. }
            | OptionProblem::Value { option, .. }
            | OptionProblem::Needs { option, .. }
            | OptionProblem::Excludes { option, .. } => Some(*option),
            OptionProblem::TooLong { .. } => None,
        }
    }
}

/// Applies every rule to `draft` and returns it with canonical addresses.
pub(crate) fn checked(mut draft: ConnectOptions) -> Result<ConnectOptions, OptionsError> {
    let mut problems = Vec::new();
    default_service(&mut draft);
    check_masks(&draft, &mut problems);
    check_pairs(draft.tokens(), &mut problems);
    check_names(&draft, &mut problems);
    check_numbers(&draft, &mut problems);
    match draft.transport {
        Transport::Tcp | Transport::Rdma => check_ip(&mut draft, &mut problems),
        Transport::Fc => check_fc(&mut draft, &mut problems),
        _ => check_loop(&draft, &mut problems),
    }
    if problems.is_empty() {
        let len = draft.encode().as_bytes().len();
        if len <= MAX_ENCODED {
            return Ok(draft);
        }
        problems.push(OptionProblem::TooLong { len });
    }
    Err(OptionsError { problems })
}

fn default_service(draft: &mut ConnectOptions) {
    if draft.address.trsvcid.is_some() {
        return;
    }
    draft.address.trsvcid = match draft.transport {
        Transport::Tcp if draft.is_discovery() => Some("8009".to_owned()),
        Transport::Tcp | Transport::Rdma => Some("4420".to_owned()),
        _ => None,
    };
}

fn check_masks(draft: &ConnectOptions, problems: &mut Vec<OptionProblem>) {
    let transport = &draft.transport;
    let allowed = TokenSet::allowed(transport);
    if allowed.is_empty() {
        problems.push(OptionProblem::Transport(transport.clone()));
        return;
    }
    let given = draft.tokens();
    for option in (TokenSet::required(transport) - given).iter() {
        let transport = transport.clone();
        problems.push(OptionProblem::Missing { option, transport });
    }
    for option in (given - allowed).iter() {
        let transport = transport.clone();
        problems.push(OptionProblem::NotAllowed { option, transport });
    }
}

fn check_pairs(given: TokenSet, problems: &mut Vec<OptionProblem>) {
    let mut needs = |option: TokenSet, other: TokenSet| {
        if given.contains(option) && !given.contains(other) {
            problems.push(OptionProblem::Needs { option, other });
        }
    };
    // One without the other is paired with the kernel's own random half, and since 6.5 refused.
    needs(TokenSet::HOSTNQN, TokenSet::HOSTID);
    needs(TokenSet::HOSTID, TokenSet::HOSTNQN);
    needs(TokenSet::DHCHAP_CTRL_SECRET, TokenSet::DHCHAP_SECRET);
    needs(TokenSet::CONCAT, TokenSet::DHCHAP_SECRET);
    // Without tls the kernel ignores the key and talks in the clear.
    needs(TokenSet::TLS_KEY, TokenSet::TLS);
    if !given.contains(TokenSet::CONCAT) {
        needs(TokenSet::KEYRING, TokenSet::TLS);
    }
    for other in [TokenSet::TLS, TokenSet::TLS_KEY] {
        if given.contains(TokenSet::CONCAT | other) {
            let option = TokenSet::CONCAT;
            problems.push(OptionProblem::Excludes { option, other });
        }
    }
}

fn check_names(draft: &ConnectOptions, problems: &mut Vec<OptionProblem>) {
    let mut check = |option: TokenSet, nqn: Option<&Nqn>| {
        let Some(nqn) = nqn.filter(|nqn| nqn.as_str().len() > MAX_CONNECT_NQN) else {
            return;
        };
        let rule = format!("must be at most {MAX_CONNECT_NQN} bytes long to be connected");
        let value = nqn.to_string();
        problems.push(OptionProblem::Value {
            option,
            value,
            rule,
        });
    };
    check(TokenSet::NQN, Some(&draft.nqn));
    check(TokenSet::HOSTNQN, draft.hostnqn.as_ref());
}

fn check_numbers(draft: &ConnectOptions, problems: &mut Vec<OptionProblem>) {
    let mut count = |option: TokenSet, value: Option<u32>, least: u32, most: u32| {
        if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
            problems.push(OptionProblem::Value {
                option,
                value: value.to_string(),
                rule: format!("must be from {least} to {most}"),
            });
        }
    };
    count(TokenSet::QUEUE_SIZE, draft.queue_size, 16, 1024);
    count(TokenSet::NR_IO_QUEUES, draft.nr_io_queues, 1, 65535);
    count(TokenSet::NR_WRITE_QUEUES, draft.nr_write_queues, 1, 65535);
    count(TokenSet::NR_POLL_QUEUES, draft.nr_poll_queues, 1, 65535);

    let mut time = |option: TokenSet, value: Option<Duration>, least: u64, most: u64| {
        if let Some(value) = value.filter(|value| !is_whole(*value, least, most)) {
            problems.push(OptionProblem::Value {
                option,
                value: format!("{value:?}"),
                rule: format!("must be whole seconds from {least} to {most}"),
            });
        }
    };
    time(TokenSet::RECONNECT_DELAY, draft.reconnect_delay, 1, 65535);
    time(TokenSet::KEEP_ALIVE_TMO, draft.keep_alive_tmo, 1, 65535);
    let loss = match draft.ctrl_loss_tmo {
        Some(ControllerLoss::After(limit)) => Some(limit),
        Some(ControllerLoss::Never) | None => None,
    };
    time(TokenSet::CTRL_LOSS_TMO, loss, 0, MAX_SECONDS);
    let fail = match draft.fast_io_fail_tmo {
        Some(FastIoFail::After(limit)) => Some(limit),
        Some(FastIoFail::Off) | None => None,
    };
    time(TokenSet::FAST_IO_FAIL_TMO, fail, 0, MAX_SECONDS);
}

/// Whether `time` has no fraction of a second and lies within the bounds.
pub(crate) fn is_whole(time: Duration, least: u64, most: u64) -> bool {
    time.subsec_nanos() == 0 && (least..=most).contains(&time.as_secs())
}

fn check_ip(draft: &mut ConnectOptions, problems: &mut Vec<OptionProblem>) {
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

fn check_fc(draft: &mut ConnectOptions, problems: &mut Vec<OptionProblem>) {
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

fn check_loop(draft: &ConnectOptions, problems: &mut Vec<OptionProblem>) {
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
    use nvme_sysfs::Uuid;

    use super::*;
    use crate::options::ConnectOptionsBuilder;

    fn nqn() -> Nqn {
        "nqn.2024-01.com.example:vol1".parse().expect("a name")
    }

    fn tcp() -> ConnectOptionsBuilder {
        let mut builder = ConnectOptions::builder(Transport::Tcp, nqn());
        builder.traddr("192.0.2.1");
        builder
    }

    /// What `build` says.
    fn refusal(builder: &ConnectOptionsBuilder) -> String {
        builder.build().expect_err("a broken rule").to_string()
    }

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
            let mut loop_back = ConnectOptions::builder(Transport::Loop, nqn());
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
    fn numbers_keep_their_bounds() {
        let text = refusal(tcp().queue_size(15));
        assert_eq!(text, "queue_size \"15\" must be from 16 to 1024");
        assert!(tcp().queue_size(1025).build().is_err());
        assert!(tcp().nr_io_queues(0).build().is_err());
        assert!(tcp().nr_write_queues(0).build().is_err());
        assert!(tcp().nr_poll_queues(65536).build().is_err());
        tcp()
            .queue_size(16)
            .nr_io_queues(65535)
            .build()
            .expect("bounds");
    }

    #[test]
    fn times_are_whole_seconds_within_their_bounds() {
        let seconds = Duration::from_secs;
        let text = refusal(tcp().keep_alive_tmo(Duration::from_millis(1500)));
        assert_eq!(
            text,
            "keep_alive_tmo \"1.5s\" must be whole seconds from 1 to 65535"
        );
        assert!(tcp().keep_alive_tmo(seconds(0)).build().is_err());
        assert!(tcp().reconnect_delay(seconds(0)).build().is_err());
        assert!(tcp().reconnect_delay(seconds(65536)).build().is_err());
        let loss = |time| ControllerLoss::After(seconds(time));
        assert!(tcp().ctrl_loss_tmo(loss(2_147_483_648)).build().is_err());
        tcp()
            .ctrl_loss_tmo(loss(2_147_483_647))
            .build()
            .expect("the most");
        tcp()
            .ctrl_loss_tmo(loss(0))
            .build()
            .expect("at the first loss");
        let fail = FastIoFail::After(Duration::from_millis(1));
        assert!(tcp().fast_io_fail_tmo(fail).build().is_err());
    }

    #[test]
    fn a_name_of_223_bytes_is_valid_and_cannot_be_connected() {
        let name = |len: usize| -> Nqn {
            let start = "nqn.2024-01.com.example:";
            format!("{start}{}", "x".repeat(len - start.len()))
                .parse()
                .expect("a name")
        };
        let build = |nqn| {
            let mut builder = ConnectOptions::builder(Transport::Tcp, nqn);
            builder.traddr("192.0.2.1").build()
        };
        build(name(222)).expect("the longest");
        let text = build(name(223)).expect_err("too long").to_string();
        assert!(
            text.ends_with("must be at most 222 bytes long to be connected"),
            "{text}"
        );
    }

    #[test]
    fn what_a_transport_wants_and_refuses_is_named() {
        let bare = ConnectOptions::builder(Transport::Tcp, nqn());
        assert_eq!(refusal(&bare), "traddr is required for transport tcp");
        let mut loop_back = ConnectOptions::builder(Transport::Loop, nqn());
        loop_back.tos(1).ctrl_loss_tmo(ControllerLoss::Never);
        assert_eq!(
            refusal(&loop_back),
            "ctrl_loss_tmo is not allowed for transport loop; tos is not allowed for transport loop"
        );
        let mut rdma = ConnectOptions::builder(Transport::Rdma, nqn());
        rdma.traddr("192.0.2.1").hdr_digest();
        assert_eq!(
            refusal(&rdma),
            "hdr_digest is not allowed for transport rdma"
        );
        let pcie = ConnectOptions::builder(Transport::Pcie, nqn());
        assert!(refusal(&pcie).starts_with("transport pcie cannot be connected"));
    }

    #[test]
    fn options_that_need_or_exclude_each_other_say_so() {
        let secret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
        let secret = || secret.parse().expect("a secret");
        let hostid: Uuid = "8fc0f2d2-7e1f-4d0c-9f4e-0c7a4f1d2b3a"
            .parse()
            .expect("a UUID");
        let serial = || "12".parse().expect("a serial");
        assert_eq!(refusal(tcp().hostnqn(nqn())), "hostnqn needs hostid");
        assert_eq!(refusal(tcp().hostid(hostid)), "hostid needs hostnqn");
        let text = refusal(tcp().dhchap_ctrl_secret(secret()));
        assert_eq!(text, "dhchap_ctrl_secret needs dhchap_secret");
        assert_eq!(refusal(tcp().concat()), "concat needs dhchap_secret");
        let text = refusal(tcp().concat().tls().dhchap_secret(secret()));
        assert_eq!(text, "concat and tls exclude each other");
        assert_eq!(refusal(tcp().tls_key(serial())), "tls_key needs tls");
        assert_eq!(refusal(tcp().keyring(serial())), "keyring needs tls");
        let mut concat = tcp();
        concat.concat().keyring(serial()).dhchap_secret(secret());
        concat.build().expect("concatenation looks keys up as well");
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
            let mut builder = ConnectOptions::builder(Transport::Fc, nqn());
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

    #[test]
    fn the_service_defaults_to_the_port_of_what_is_connected() {
        let service = |builder: &ConnectOptionsBuilder| {
            let options = builder.build().expect("valid options");
            options.address().trsvcid.clone()
        };
        assert_eq!(service(&tcp()).as_deref(), Some("4420"));
        assert_eq!(service(tcp().discovery()).as_deref(), Some("8009"));
        let mut discovery = ConnectOptions::builder(Transport::Tcp, Nqn::discovery());
        assert_eq!(service(discovery.traddr("::1")).as_deref(), Some("8009"));
        let mut rdma = ConnectOptions::builder(Transport::Rdma, Nqn::discovery());
        assert_eq!(service(rdma.traddr("::1")).as_deref(), Some("4420"));
        let loop_back = ConnectOptions::builder(Transport::Loop, nqn());
        assert_eq!(service(&loop_back), None);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut builder = tcp();
        builder.traddr("localhost").trsvcid("0").queue_size(1);
        let error = builder.build().expect_err("three problems");
        let options: TokenSet = error
            .problems()
            .iter()
            .filter_map(OptionProblem::option)
            .collect();
        assert_eq!(options.to_string(), "traddr, trsvcid, queue_size");
    }

    #[test]
    fn more_than_a_page_is_refused() {
        let mut builder = ConnectOptions::builder(Transport::Loop, nqn());
        builder.traddr("x".repeat(5000));
        assert!(refusal(&builder).ends_with("the kernel takes at most 4095"));
    }
}
