//! The rules a set of options must keep; those of addresses stand in `address_rules.rs`, the bounds
//! of numbers in `tuning.rs`.
//!
//! Sources: `nvmf_parse_options` and `nvmf_check_*_opts` in the kernel's `fabrics.c`, and the
//! parsers of the transports. The kernel has no escaping: it splits at commas and line breaks,
//! so a value that holds one would be two options.

use nvme_sysfs::{Nqn, Transport};

use crate::address_rules::{check_fc, check_ip, check_loop};
use crate::options::{ConnectOptions, ConnectOptionsBuilder};
use crate::problem::{OptionProblem, OptionsError};
use crate::token::{MAX_ENCODED, TokenSet};

/// Longest NQN that can be connected: `NVMF_NQN_SIZE` (223) counts the NUL.
pub const MAX_CONNECT_NQN: usize = 222;

impl ConnectOptionsBuilder {
    /// Checks everything and brings the addresses into canonical spelling.
    ///
    /// Without `trsvcid`, TCP and RDMA get 4420, and a TCP discovery controller 8009: the
    /// kernel's own default for TCP is 8009 even for a subsystem with namespaces.
    ///
    /// # Errors
    /// All problems at once, each naming the option, its value (never a secret) and the rule.
    pub fn build(&self) -> Result<ConnectOptions, OptionsError> {
        checked(self.draft.clone())
    }
}

/// Applies every rule to `draft` and returns it with canonical addresses.
fn checked(mut draft: ConnectOptions) -> Result<ConnectOptions, OptionsError> {
    let mut problems = Vec::new();
    default_service(&mut draft);
    check_masks(&draft, &mut problems);
    check_pairs(draft.tokens(), &mut problems);
    check_names(&draft, &mut problems);
    draft.tuning.check(&mut problems);
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

#[cfg(test)]
mod tests {
    use nvme_sysfs::{ControllerLoss, Uuid};

    use super::*;
    use crate::fixture::{refusal, tcp, tuned, volume};
    use crate::tuning::ConnectTuning;

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
        let bare = ConnectOptions::builder(Transport::Tcp, volume());
        assert_eq!(refusal(&bare), "traddr is required for transport tcp");
        let mut loop_back = ConnectOptions::builder(Transport::Loop, volume());
        loop_back.tuning(ConnectTuning {
            tos: Some(1),
            ctrl_loss_tmo: Some(ControllerLoss::Never),
            ..ConnectTuning::default()
        });
        assert_eq!(
            refusal(&loop_back),
            "ctrl_loss_tmo is not allowed for transport loop; tos is not allowed for transport loop"
        );
        let mut rdma = ConnectOptions::builder(Transport::Rdma, volume());
        rdma.traddr("192.0.2.1").tuning(ConnectTuning {
            hdr_digest: true,
            ..ConnectTuning::default()
        });
        assert_eq!(
            refusal(&rdma),
            "hdr_digest is not allowed for transport rdma"
        );
        let pcie = ConnectOptions::builder(Transport::Pcie, volume());
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
        assert_eq!(refusal(tcp().hostnqn(volume())), "hostnqn needs hostid");
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
        let loop_back = ConnectOptions::builder(Transport::Loop, volume());
        assert_eq!(service(&loop_back), None);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut builder = tuned(|tuning| tuning.queue_size = Some(1));
        builder.traddr("localhost").trsvcid("0");
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
        let mut builder = ConnectOptions::builder(Transport::Loop, volume());
        builder.traddr("x".repeat(5000));
        assert!(refusal(&builder).ends_with("the kernel takes at most 4095"));
    }
}
