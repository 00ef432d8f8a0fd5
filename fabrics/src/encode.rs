//! The option string that is written to `/dev/nvme-fabrics`.
//!
//! Invariant: splitting the text at commas gives back exactly the options that were set, one
//! piece each, in the order of the kernel's table; numbers are plain decimal, because the kernel
//! reads a leading zero as octal.

use std::fmt::{self, Write};

use zeroize::Zeroizing;

use crate::options::ConnectOptions;
use crate::secret::Secret;
use crate::token::{MAX_ENCODED, TokenSet};
use crate::tuning::{TuningKind, TuningOption};

/// An option string. It may hold secrets: Debug prints `***`, the text is zeroed on drop.
pub struct EncodedOptions(Zeroizing<String>);

impl EncodedOptions {
    /// The bytes to write, without a line break.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text to write, secrets in the clear: never for a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EncodedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl ConnectOptions {
    /// The text for one write to `/dev/nvme-fabrics`, secrets included.
    #[must_use]
    pub fn encode(&self) -> EncodedOptions {
        // Room for anything that can be sent: growing would leave copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * MAX_ENCODED));
        for token in self.tokens().iter() {
            write_option(&mut text, self, token, Secret::expose);
        }
        EncodedOptions(text)
    }

    /// The same text with `***` for each secret, for people.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut text = String::new();
        for token in self.tokens().iter() {
            write_option(&mut text, self, token, |_| "***");
        }
        text
    }
}

/// Appends one option: `token=value`, and only the token of a flag.
fn write_option(
    text: &mut String,
    options: &ConnectOptions,
    token: TokenSet,
    show: fn(&Secret) -> &str,
) {
    let address = &options.address;
    let plain = match token {
        TokenSet::TRANSPORT => Some(options.transport.to_string()),
        TokenSet::NQN => Some(options.nqn.to_string()),
        TokenSet::TRADDR => address.traddr.clone(),
        TokenSet::TRSVCID => address.trsvcid.clone(),
        TokenSet::HOST_TRADDR => address.host_traddr.clone(),
        TokenSet::HOST_IFACE => address.host_iface.clone(),
        TokenSet::HOSTNQN => options.hostnqn.as_ref().map(ToString::to_string),
        TokenSet::HOSTID => options.hostid.as_ref().map(ToString::to_string),
        TokenSet::KEYRING => options.keyring.map(|serial| serial.get().to_string()),
        TokenSet::TLS_KEY => options.tls_key.map(|serial| serial.get().to_string()),
        _ => TuningOption::find(token)
            .filter(|option| option.kind() != TuningKind::Switch)
            .and_then(|option| option.text(&options.tuning)),
    };
    let secret = match token {
        TokenSet::DHCHAP_SECRET => options.dhchap_secret.as_ref(),
        TokenSet::DHCHAP_CTRL_SECRET => options.dhchap_ctrl_secret.as_ref(),
        _ => None,
    };
    let comma = if text.is_empty() { "" } else { "," };
    let written = match (plain, secret) {
        (Some(value), _) => write!(text, "{comma}{token}={value}"),
        (None, Some(secret)) => write!(text, "{comma}{token}={}", show(secret)),
        (None, None) => write!(text, "{comma}{token}"),
    };
    written.expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use nvme_sysfs::{ControllerLoss, FastIoFail, Nqn, Transport};
    use proptest::prelude::*;

    use super::*;
    use crate::options::ConnectOptionsBuilder;
    use crate::tuning::ConnectTuning;

    /// The example key of the specification, as the secret of host or controller.
    const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

    fn builder(transport: Transport) -> ConnectOptionsBuilder {
        let nqn: Nqn = "nqn.2024-01.com.example:vol1".parse().expect("a name");
        ConnectOptions::builder(transport, nqn)
    }

    fn with_host(mut builder: ConnectOptionsBuilder) -> ConnectOptionsBuilder {
        let hostid = "8fc0f2d2-7e1f-4d0c-9f4e-0c7a4f1d2b3a";
        let hostnqn = format!("nqn.2014-08.org.nvmexpress:uuid:{hostid}");
        builder.hostnqn(hostnqn.parse().expect("a name"));
        builder.hostid(hostid.parse().expect("a UUID"));
        builder
    }

    fn tcp_with_everything_but_concat() -> ConnectOptionsBuilder {
        let seconds = Duration::from_secs;
        let mut tcp = with_host(builder(Transport::Tcp));
        tcp.traddr("2001:DB8:0::1").trsvcid("4421");
        tcp.host_traddr("2001:db8::0:2").host_iface("eth0.7");
        tcp.tuning(ConnectTuning {
            ctrl_loss_tmo: Some(ControllerLoss::After(seconds(0))),
            reconnect_delay: Some(seconds(5)),
            fast_io_fail_tmo: Some(FastIoFail::After(seconds(15))),
            keep_alive_tmo: Some(seconds(30)),
            nr_io_queues: Some(8),
            nr_write_queues: Some(2),
            nr_poll_queues: Some(1),
            queue_size: Some(1024),
            tos: Some(184),
            hdr_digest: true,
            data_digest: true,
            disable_sqflow: true,
        });
        tcp.keyring("0x1f".parse().expect("a serial"));
        tcp.tls_key("42".parse().expect("a serial"));
        tcp.dhchap_secret(SECRET.parse().expect("a secret"));
        tcp.dhchap_ctrl_secret(SECRET.parse().expect("a secret"));
        tcp.duplicate_connect().discovery().tls();
        tcp
    }

    fn cases() -> Vec<(&'static str, ConnectOptionsBuilder)> {
        let mut minimal = builder(Transport::Tcp);
        minimal.traddr("192.0.2.1");
        let mut off = builder(Transport::Tcp);
        off.traddr("fe80:0::1%eth0");
        off.tuning(ConnectTuning {
            ctrl_loss_tmo: Some(ControllerLoss::Never),
            fast_io_fail_tmo: Some(FastIoFail::Off),
            ..ConnectTuning::default()
        });
        let mut concat = with_host(builder(Transport::Tcp));
        concat.traddr("192.0.2.1").concat();
        concat.dhchap_secret(SECRET.parse().expect("a secret"));
        let mut rdma = with_host(builder(Transport::Rdma));
        rdma.traddr("::ffff:192.0.2.1").tuning(ConnectTuning {
            tos: Some(0),
            nr_poll_queues: Some(4),
            ..ConnectTuning::default()
        });
        let mut fc = with_host(builder(Transport::Fc));
        fc.traddr("nn-0x20000090FAE06325:pn-0x20000090FAE06326");
        fc.host_traddr("nn-0x10000090fae06325:pn-0x10000090fae06326");
        let mut discovery = with_host(ConnectOptions::builder(Transport::Tcp, Nqn::discovery()));
        discovery.traddr("192.0.2.1").tuning(ConnectTuning {
            keep_alive_tmo: Some(Duration::from_secs(30)),
            ..ConnectTuning::default()
        });
        vec![
            ("tcp-minimal", minimal),
            (
                "tcp-everything-but-concat",
                tcp_with_everything_but_concat(),
            ),
            ("tcp-link-local-and-off", off),
            ("tcp-concat", concat),
            ("tcp-discovery", discovery),
            ("rdma", rdma),
            ("fc", fc),
            ("loop", builder(Transport::Loop)),
        ]
    }

    fn golden_dir() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/connect")
    }

    #[test]
    fn every_case_encodes_byte_for_byte_as_its_golden_file() {
        for (name, builder) in cases() {
            let path = golden_dir().join(format!("{name}.txt"));
            let golden = fs::read_to_string(&path).expect(name);
            let encoded = builder.build().expect(name).encode();
            assert_eq!(encoded.as_str(), golden, "{name}");
        }
    }

    #[test]
    fn every_golden_file_has_its_case() {
        let names: BTreeSet<String> = fs::read_dir(golden_dir())
            .expect("the directory of golden files")
            .map(|entry| entry.expect("an entry").file_name().display().to_string())
            .collect();
        let cases = cases().into_iter().map(|(name, _)| format!("{name}.txt"));
        assert_eq!(names, cases.collect());
    }

    #[test]
    fn together_the_cases_write_every_token() {
        let written = cases()
            .into_iter()
            .map(|(name, builder)| builder.build().expect(name).tokens())
            .collect::<TokenSet>();
        assert_eq!(written, TokenSet::all());
    }

    #[test]
    fn nothing_but_the_text_itself_shows_a_secret() {
        let options = tcp_with_everything_but_concat()
            .build()
            .expect("valid options");
        let shown = format!("{options:?} {:?}", options.encode());
        assert!(!shown.contains("ia6z"), "{shown}");
        assert!(options.encode().as_str().contains("ia6z"));
        let masked = options.encode().as_str().replace(SECRET, "***");
        assert_eq!(options.masked(), masked);
    }

    proptest! {
        /// Whatever the texts are: either they are refused, or the encoded text splits at the
        /// kernel's separators into exactly the options that were set.
        #[test]
        fn no_value_can_inject_an_option(
            traddr in "(\\PC|[,\n\0=%]|192.0.2.1|::1|fe80::1%e0){0,4}",
            trsvcid in "[0-9,\n=a-z-]{0,6}",
            host_iface in "(\\PC|[,\n\0=]){0,16}",
            loop_traddr in "(\\PC|[,\n\0= ]){0,12}",
        ) {
            let mut tcp = builder(Transport::Tcp);
            tcp.traddr(traddr).trsvcid(trsvcid).host_iface(host_iface);
            let mut loop_back = builder(Transport::Loop);
            loop_back.traddr(loop_traddr);
            for options in [tcp.build(), loop_back.build()].into_iter().flatten() {
                let encoded = options.encode();
                let split: Vec<&str> = encoded.as_str().split([',', '\n']).collect();
                let names = split.iter().map(|piece| piece.split('=').next().unwrap_or_default());
                prop_assert!(names.eq(options.tokens().tokens()));
                prop_assert!(!encoded.as_bytes().contains(&0));
            }
        }
    }
}
