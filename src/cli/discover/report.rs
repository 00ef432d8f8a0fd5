//! What `discover` found, and what came of connecting it.

use std::io::{self, Write};

use nvme_fabrics::{Discovery, DiscoveryEntry, SecureChannel, Subtype, TcpSecurity};
use serde::Serialize;

use crate::cli::connect::Connection;
use crate::cli::exit::{Exit, chain};
use crate::cli::line::write_line;
use crate::cli::output::{Format, Report, write_json};

/// What was found, and what came of connecting it.
#[derive(Debug, Serialize)]
pub struct Found {
    entries: Vec<Entry>,
    pub(super) connections: Vec<Connection>,
    pub(super) failures: Vec<String>,
}

/// One entry of a discovery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Entry {
    /// `nvm`, `referral`, `discovery` or a number.
    subtype: String,
    transport: String,
    traddr: String,
    trsvcid: String,
    nqn: String,
    portid: u16,
    /// Whether a secure channel is needed: `not specified`, `required`, `not required` or `reserved`, as nvme-cli says it.
    treq: &'static str,
    /// Security of TCP: `none`, `tls`, `tls13` or a number; `null` for other transports.
    sectype: Option<String>,
    /// Why this host cannot connect it.
    skipped: Option<&'static str>,
}

impl Found {
    /// What a discovery brought; `unusable` says why this host cannot connect a record.
    pub(super) fn of(
        discovery: &Discovery,
        unusable: impl Fn(&DiscoveryEntry) -> Option<&'static str>,
    ) -> Found {
        let entry = |entry: &DiscoveryEntry| Entry {
            skipped: unusable(entry),
            ..Entry::from(entry)
        };
        let failures = discovery.failures.iter().map(chain);
        let malformed = discovery.malformed.iter().map(ToString::to_string);
        Found {
            entries: discovery.entries.iter().map(entry).collect(),
            connections: Vec::new(),
            failures: failures.chain(malformed).collect(),
        }
    }
}

impl From<&DiscoveryEntry> for Entry {
    fn from(entry: &DiscoveryEntry) -> Entry {
        Entry {
            subtype: match entry.subtype {
                Subtype::Nvm => "nvm".to_owned(),
                Subtype::Referral => "referral".to_owned(),
                Subtype::CurrentDiscovery => "discovery".to_owned(),
                Subtype::Other(number) => number.to_string(),
            },
            transport: entry.transport.to_string(),
            traddr: entry.traddr.clone(),
            trsvcid: entry.trsvcid.clone(),
            nqn: entry.subnqn.to_string(),
            portid: entry.portid,
            treq: match entry.secure_channel {
                SecureChannel::NotSpecified => "not specified",
                SecureChannel::Required => "required",
                SecureChannel::NotRequired => "not required",
                SecureChannel::Reserved => "reserved",
            },
            sectype: entry.sectype.map(|sectype| match sectype {
                TcpSecurity::None => "none".to_owned(),
                TcpSecurity::Tls12 => "tls".to_owned(),
                TcpSecurity::Tls13 => "tls13".to_owned(),
                TcpSecurity::Other(number) => number.to_string(),
            }),
            skipped: None,
        }
    }
}

impl Report for Found {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(self, out),
            Format::Human => self.human(out),
        }
    }

    fn exit(&self) -> Exit {
        if self.failures.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        }
    }
}

impl Found {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.entries.is_empty() {
            writeln!(out, "the discovery log is empty")?;
        }
        self.entries.iter().try_for_each(|entry| entry.human(out))?;
        for connection in &self.connections {
            connection.human(out)?;
        }
        self.failures
            .iter()
            .try_for_each(|failure| write_line(out, format_args!("failed: {failure}")))
    }
}

impl Entry {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let Entry {
            subtype,
            transport,
            traddr,
            trsvcid,
            nqn,
            treq,
            ..
        } = self;
        let sectype = self.sectype.as_ref();
        let sectype = sectype.map(|sectype| format!(", sectype {sectype}"));
        let skipped = self.skipped.map(|why| format!(", skipped: {why}"));
        let (sectype, skipped) = (sectype.unwrap_or_default(), skipped.unwrap_or_default());
        write_line(
            out,
            format_args!(
                "{subtype} {transport} {traddr} {trsvcid} {nqn}, treq {treq}{sectype}{skipped}"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Transport;

    use super::*;

    /// A record of 1024 bytes, as a target sends it.
    fn record(trtype: u8, treq: u8, sectype: u8, traddr: &str) -> DiscoveryEntry {
        let mut bytes = [0; 1024];
        bytes[..4].copy_from_slice(&[trtype, 1, 2, treq]);
        for (start, text) in [
            (32, "4420"),
            (256, "nqn.2026-01.org.example:a"),
            (512, traddr),
        ] {
            bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        }
        bytes[768] = sectype;
        DiscoveryEntry::decode(0, &bytes).expect("a record")
    }

    fn found() -> Found {
        let discovery = Discovery {
            entries: vec![
                record(2, 0, 0, "nn-0x1,pn-0x2"),
                record(3, 1, 2, "192.0.2.1"),
            ],
            ..Discovery::default()
        };
        let is_fc = |entry: &DiscoveryEntry| entry.transport == Transport::Fc;
        Found::of(&discovery, |entry| is_fc(entry).then_some("no port"))
    }

    #[test]
    fn a_record_that_this_host_cannot_use_is_shown_as_skipped_and_no_failure() {
        assert_eq!(found().exit(), Exit::Done);
        let mut out = Vec::new();
        found()
            .write(Format::Human, &mut out)
            .expect("a Vec takes everything");
        let text = String::from_utf8(out).expect("UTF-8");
        let nqn = "nqn.2026-01.org.example:a";
        let expected = format!(
            "nvm fc nn-0x1:pn-0x2 4420 {nqn}, treq not specified, skipped: no port\n\
             nvm tcp 192.0.2.1 4420 {nqn}, treq required, sectype tls13\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn programs_get_security_and_what_is_skipped_by_name() {
        let value = serde_json::to_value(found()).expect("JSON");
        let [fc, tcp] = [&value["entries"][0], &value["entries"][1]];
        assert_eq!(
            (&fc["skipped"], &fc["treq"]),
            (&"no port".into(), &"not specified".into())
        );
        assert_eq!(
            (&tcp["treq"], &tcp["sectype"]),
            (&"required".into(), &"tls13".into())
        );
        assert!(tcp["skipped"].is_null() && fc["sectype"].is_null());
    }
}
