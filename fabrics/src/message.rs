//! What the kernel's log says about a failed connect.
//!
//! The kernel answers many failures with a bare `EIO` or `EINVAL` and writes the cause to its
//! log. Only the messages below are known, as they stand in `fabrics.c`, `tcp.c` and `core.c` of
//! 6.1, 6.12 and 7.x. Everything else in the log is ignored and never repeated.
//!
//! Invariant: a message that names a subsystem counts only if it is ours, and one that names an
//! option only if we sent it. One that names neither may be another connect's, if that one failed
//! between our look at the end of the log and our own failure.

use crate::cause::{Cause, Digest, Switch};
use crate::options::ConnectOptions;
use crate::token::TokenSet;

/// The first known cause in `records` (the texts of kernel log records, oldest first) that
/// concerns a connect with `options`.
#[must_use]
pub fn cause<'a>(
    records: impl IntoIterator<Item = &'a str>,
    options: &ConnectOptions,
) -> Option<Cause> {
    records.into_iter().find_map(|record| {
        // "nvme nvme0: text" and "nvme_tcp: text": what stands before is not part of the text.
        let text = match record.split_once(": ") {
            Some((origin, text)) if origin.starts_with("nvme") => text,
            _ => return None,
        };
        of_target(text, options)
            .or_else(|| of_options(text, options))
            .or_else(|| of_digest(text))
            .or_else(|| of_controller(text))
    })
}

/// Messages that name the subsystem: they must name ours.
fn of_target(text: &str, options: &ConnectOptions) -> Option<Cause> {
    let nqn = options.nqn().as_str();
    let ours = |quoted: &str| quoted == format!("\"{nqn}\"");
    if let Some(rest) = text.strip_prefix("Connect for subsystem ") {
        let (subsystem, hostnqn) = rest.split_once(" is not allowed, hostnqn: ")?;
        let hostnqn = hostnqn.parse().ok()?;
        return (subsystem == nqn).then_some(Cause::HostNotAllowed { hostnqn });
    }
    if let Some(quoted) = text.strip_prefix("Connect Invalid Data Parameter, subsysnqn ") {
        return ours(quoted).then_some(Cause::UnknownSubsystem);
    }
    if let Some(quoted) = text.strip_prefix("Connect Invalid Data Parameter, hostnqn ") {
        let hostnqn = options.hostnqn()?.as_str();
        return (quoted == format!("\"{hostnqn}\"")).then_some(Cause::InvalidHostNqn);
    }
    if let Some(rest) = text.strip_prefix("Subsystem ") {
        let subsystem = rest.strip_suffix(" is not a discovery controller")?;
        return (subsystem == nqn).then_some(Cause::NotDiscovery);
    }
    if let Some(rest) = text.strip_prefix("Duplicate cntlid ") {
        // 6.1 and later end in ", subsys <nqn>, rejecting".
        let other = rest.contains(", subsys ") && !rest.contains(&format!(", subsys {nqn},"));
        return (!other).then_some(Cause::DuplicateCntlid);
    }
    None
}

/// Messages about the option string: they must name what we sent.
fn of_options(text: &str, options: &ConnectOptions) -> Option<Cause> {
    let quoted = |rest: &str| -> Option<TokenSet> {
        let (piece, _) = rest.strip_prefix('\'')?.split_once('\'')?;
        TokenSet::from_token(piece.split_once('=').map_or(piece, |(name, _)| name))
    };
    if let Some(rest) = text.strip_prefix("unknown parameter or missing value ") {
        let token = quoted(rest)?;
        let sent = options.tokens().contains(token);
        return sent.then_some(Cause::UnknownOption(token));
    }
    if let Some(rest) = text.strip_prefix("invalid parameter ") {
        let token = quoted(rest)?;
        let sent = options.tokens().contains(token);
        return sent.then_some(Cause::NotForTransport(token));
    }
    if let Some(rest) = text.strip_prefix("missing parameter ") {
        let token = quoted(rest)?;
        let sent = options.tokens().contains(token);
        return (!sent).then_some(Cause::MissingOption(token));
    }
    if let Some(rest) = text.strip_prefix("no handler found for transport ") {
        let ours = rest.strip_suffix('.')? == options.transport().as_str();
        return ours.then_some(Cause::NoTransport);
    }
    let host = [
        options.hostnqn().map(ToString::to_string),
        options.hostid().map(ToString::to_string),
    ];
    if text.starts_with("found same host") && text.contains(" but different host") {
        let named = |part: &String| text.split(' ').any(|word| word == part);
        let ours = host.iter().flatten().any(named);
        return ours.then_some(Cause::HostIdConflict);
    }
    let tls = TokenSet::TLS | TokenSet::TLS_KEY | TokenSet::KEYRING | TokenSet::CONCAT;
    let wants_tls = options.tokens().intersects(tls);
    (text == "TLS is not supported" && wants_tls).then_some(Cause::TlsUnsupported)
}

/// `queue 0: header digest mismatch host: disabled ctrl: enabled`
fn of_digest(text: &str) -> Option<Cause> {
    let (_, rest) = text.strip_prefix("queue ")?.split_once(": ")?;
    let (digest, rest) = match rest.strip_prefix("header digest mismatch host: ") {
        Some(rest) => (Digest::Header, rest),
        None => (
            Digest::Data,
            rest.strip_prefix("data digest mismatch host: ")?,
        ),
    };
    let (host, target) = rest.split_once(" ctrl: ")?;
    let switch = |word: &str| match word {
        "enabled" => Some(Switch::Enabled),
        "disabled" => Some(Switch::Disabled),
        _ => None,
    };
    Some(Cause::DigestMismatch {
        digest,
        host: switch(host)?,
        target: switch(target)?,
    })
}

/// Messages of one controller that name neither subsystem nor option.
fn of_controller(text: &str) -> Option<Cause> {
    const BUSY: &str = "Connect command failed: controller is busy or not available";
    const STATUS: &str = "Connect command failed, error wo/DNR bit: ";
    match text {
        BUSY => return Some(Cause::ControllerBusy),
        "Connect command failed: authentication required" => return Some(Cause::AuthRequired),
        "Subsystem does not support multiple controllers" => return Some(Cause::SingleController),
        _ => {}
    }
    if let Some(status) = text.strip_prefix(STATUS) {
        return status.parse().ok().map(Cause::ConnectStatus);
    }
    if text.starts_with("controller returned incorrect NQN: ") {
        return Some(Cause::WrongNqn);
    }
    if let Some((_, rest)) = text
        .strip_prefix("qid ")
        .and_then(|rest| rest.split_once(": "))
    {
        return rest
            .starts_with("authentication ")
            .then_some(Cause::AuthFailed);
    }
    let (_, rest) = text.strip_prefix("queue ")?.split_once(": ")?;
    let bad = [
        "bad type returned ",
        "bad pdu length returned ",
        "bad pfv returned ",
        "unsupported cpda returned ",
        "invalid maxh2cdata returned ",
    ];
    bad.iter()
        .any(|start| rest.starts_with(start))
        .then_some(Cause::BadHandshake)
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Transport;

    use super::*;
    use crate::fixture::{self, HOSTID, HOSTNQN, VOLUME};
    use crate::tuning::ConnectTuning;

    fn options() -> ConnectOptions {
        let mut builder = fixture::options(Transport::Tcp);
        let tuning = ConnectTuning {
            tos: Some(1),
            ..ConnectTuning::default()
        };
        builder
            .traddr("192.0.2.1")
            .tuning(tuning)
            .build()
            .expect("valid options")
    }

    fn cause_of(record: &str) -> Option<Cause> {
        cause([record], &options())
    }

    fn assert_causes(cases: &[(&str, Cause)]) {
        for (record, expected) in cases {
            assert_eq!(cause_of(record).as_ref(), Some(expected), "{record}");
        }
    }

    #[test]
    fn what_the_target_says_about_our_subsystem_and_host_is_known() {
        let allowed = format!("Connect for subsystem {VOLUME} is not allowed, hostnqn: {HOSTNQN}");
        let subsystem = format!("Connect Invalid Data Parameter, subsysnqn \"{VOLUME}\"");
        let host = format!("Connect Invalid Data Parameter, hostnqn \"{HOSTNQN}\"");
        let discovery = format!("Subsystem {VOLUME} is not a discovery controller");
        let duplicate = format!("Duplicate cntlid 1 with nvme0, subsys {VOLUME}, rejecting");
        for (text, expected) in [
            (
                allowed,
                Cause::HostNotAllowed {
                    hostnqn: HOSTNQN.parse().expect("a valid name"),
                },
            ),
            (subsystem, Cause::UnknownSubsystem),
            (host, Cause::InvalidHostNqn),
            (discovery, Cause::NotDiscovery),
            (duplicate, Cause::DuplicateCntlid),
        ] {
            assert_causes(&[(&format!("nvme nvme0: {text}"), expected)]);
        }
    }

    #[test]
    fn what_the_kernel_says_about_our_options_is_known() {
        let pair = |one, other| format!("nvme_fabrics: found same {one} but different {other}");
        let hostnqn = format!("hostnqn {HOSTNQN}");
        let hostid = format!("hostid {HOSTID}");
        assert_causes(&[
            (&pair(&hostnqn, &hostid), Cause::HostIdConflict),
            (&pair(&hostid, &hostnqn), Cause::HostIdConflict),
            (
                "nvme_fabrics: unknown parameter or missing value 'tos=1' in ctrl creation request",
                Cause::UnknownOption(TokenSet::TOS),
            ),
            (
                "nvme_fabrics: invalid parameter 'tos=%d'",
                Cause::NotForTransport(TokenSet::TOS),
            ),
            (
                "nvme_fabrics: missing parameter 'host_traddr=%s'",
                Cause::MissingOption(TokenSet::HOST_TRADDR),
            ),
            (
                "nvme_fabrics: no handler found for transport tcp.",
                Cause::NoTransport,
            ),
        ]);
    }

    #[test]
    fn what_is_said_about_the_association_is_known() {
        assert_causes(&[
            (
                "nvme nvme0: Connect command failed, error wo/DNR bit: 386",
                Cause::ConnectStatus(386),
            ),
            (
                "nvme nvme0: Connect command failed: controller is busy or not available",
                Cause::ControllerBusy,
            ),
            (
                "nvme nvme0: Connect command failed: authentication required",
                Cause::AuthRequired,
            ),
            (
                "nvme nvme0: qid 0: authentication failed",
                Cause::AuthFailed,
            ),
            (
                "nvme nvme0: qid 0: authentication setup failed",
                Cause::AuthFailed,
            ),
            (
                "nvme nvme0: Subsystem does not support multiple controllers",
                Cause::SingleController,
            ),
            (
                "nvme nvme0: controller returned incorrect NQN: \"x\".",
                Cause::WrongNqn,
            ),
            ("nvme_tcp: queue 0: bad pfv returned 7", Cause::BadHandshake),
        ]);
    }

    #[test]
    fn a_digest_mismatch_says_which_digest_and_who() {
        let record = "nvme_tcp: queue 0: header digest mismatch host: disabled ctrl: enabled";
        let found = cause_of(record).expect("a known message");
        assert_eq!(
            found.to_string(),
            "header digest is disabled on this host and enabled on the target"
        );
        let record = "nvme_tcp: queue 0: data digest mismatch host: enabled ctrl: disabled";
        let found = cause_of(record).expect("a known message");
        assert_eq!(
            found.to_string(),
            "data digest is enabled on this host and disabled on the target"
        );
    }

    #[test]
    fn messages_about_others_say_nothing_about_us() {
        for record in [
            "nvme nvme0: Connect for subsystem nqn.2026-01.org.example:volume-11 is not allowed, \
             hostnqn: x",
            "nvme nvme0: Connect Invalid Data Parameter, subsysnqn \"nqn.2026-01.org.example:v\"",
            "nvme_fabrics: unknown parameter or missing value 'hdr_digest' in ctrl creation request",
            "nvme_fabrics: unknown parameter or missing value 'x' in ctrl creation request",
            "nvme_fabrics: invalid parameter 'ctrl_loss_tmo=%d'",
            "nvme_fabrics: missing parameter 'traddr=%s'",
            "nvme_fabrics: no handler found for transport rdma.",
            "nvme_fabrics: found same hostnqn a but different hostid b",
            "nvme nvme1: Duplicate cntlid 1 with nvme0, subsys other, rejecting",
            "nvme_fabrics: TLS is not supported",
            "nvme nvme0: qid 0: authenticated",
            "nvme nvme0: creating 2 I/O queues.",
            "evil: Connect command failed, error wo/DNR bit: 386",
            "queue 0: bad pfv returned 7",
            "nvme_tcp: queue 0: header digest mismatch host: on ctrl: off",
            "",
            "garbage",
        ] {
            assert_eq!(cause_of(record), None, "{record}");
        }
    }

    #[test]
    fn the_first_known_message_counts() {
        let records = [
            "nvme_tcp: something else",
            "nvme nvme0: Connect command failed: controller is busy or not available",
            "nvme nvme0: Connect command failed, error wo/DNR bit: 385",
        ];
        assert_eq!(cause(records, &options()), Some(Cause::ControllerBusy));
    }
}
