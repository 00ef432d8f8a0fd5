//! The option string that is written to `/dev/nvme-fabrics`.
//!
//! Invariant: splitting the text at commas gives back exactly the options that were set, one
//! piece each, in the order of the kernel's table; numbers are plain decimal, because the kernel
//! reads a leading zero as octal.

use std::fmt::{self, Write};

use nvme_sysfs::{ControllerLoss, FastIoFail};
use zeroize::Zeroizing;

use crate::options::ConnectOptions;
use crate::token::{MAX_ENCODED, TokenSet};

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
            if !text.is_empty() {
                text.push(',');
            }
            write!(text, "{token}").expect("writing to a string cannot fail");
            write_value(&mut text, self, token).expect("writing to a string cannot fail");
        }
        EncodedOptions(text)
    }
}

/// Appends `=value` for one token, nothing for a flag.
fn write_value(text: &mut String, options: &ConnectOptions, token: TokenSet) -> fmt::Result {
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs().to_string());
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    let address = &options.address;
    let plain = match token {
        TokenSet::TRANSPORT => Some(options.transport.to_string()),
        TokenSet::NQN => Some(options.nqn.to_string()),
        TokenSet::TRADDR => address.traddr.clone(),
        TokenSet::TRSVCID => address.trsvcid.clone(),
        TokenSet::HOST_TRADDR => address.host_traddr.clone(),
        TokenSet::HOST_IFACE => address.host_iface.clone(),
        TokenSet::QUEUE_SIZE => number(options.queue_size),
        TokenSet::NR_IO_QUEUES => number(options.nr_io_queues),
        TokenSet::NR_WRITE_QUEUES => number(options.nr_write_queues),
        TokenSet::NR_POLL_QUEUES => number(options.nr_poll_queues),
        TokenSet::RECONNECT_DELAY => seconds(options.reconnect_delay),
        TokenSet::KEEP_ALIVE_TMO => seconds(options.keep_alive_tmo),
        TokenSet::CTRL_LOSS_TMO => options.ctrl_loss_tmo.as_ref().map(loss),
        TokenSet::FAST_IO_FAIL_TMO => options.fast_io_fail_tmo.as_ref().map(fast_io_fail),
        TokenSet::TOS => options.tos.map(|tos| tos.to_string()),
        TokenSet::HOSTNQN => options.hostnqn.as_ref().map(ToString::to_string),
        TokenSet::HOSTID => options.hostid.as_ref().map(ToString::to_string),
        TokenSet::KEYRING => number(options.keyring.map(|serial| serial.get())),
        TokenSet::TLS_KEY => number(options.tls_key.map(|serial| serial.get())),
        _ => None,
    };
    let secret = match token {
        TokenSet::DHCHAP_SECRET => options.dhchap_secret.as_ref(),
        TokenSet::DHCHAP_CTRL_SECRET => options.dhchap_ctrl_secret.as_ref(),
        _ => None,
    };
    match (plain, secret) {
        (Some(value), _) => write!(text, "={value}"),
        (None, Some(secret)) => write!(text, "={}", secret.expose()),
        (None, None) => Ok(()),
    }
}

/// The kernel's word for when it gives up: seconds, or -1.
pub(crate) fn loss(limit: &ControllerLoss) -> String {
    match limit {
        ControllerLoss::After(limit) => limit.as_secs().to_string(),
        ControllerLoss::Never => "-1".to_owned(),
    }
}

/// The kernel's word for when I/O fails: seconds, or -1.
pub(crate) fn fast_io_fail(limit: &FastIoFail) -> String {
    match limit {
        FastIoFail::After(limit) => limit.as_secs().to_string(),
        FastIoFail::Off => "-1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use nvme_sysfs::{Nqn, Transport};
    use proptest::prelude::*;

    use super::*;
    use crate::options::ConnectOptionsBuilder;

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
        tcp.queue_size(1024)
            .nr_io_queues(8)
            .nr_write_queues(2)
            .nr_poll_queues(1);
        tcp.reconnect_delay(seconds(5)).keep_alive_tmo(seconds(30));
        tcp.ctrl_loss_tmo(ControllerLoss::After(seconds(0)));
        tcp.fast_io_fail_tmo(FastIoFail::After(seconds(15)))
            .tos(184);
        tcp.keyring("0x1f".parse().expect("a serial"));
        tcp.tls_key("42".parse().expect("a serial"));
        tcp.dhchap_secret(SECRET.parse().expect("a secret"));
        tcp.dhchap_ctrl_secret(SECRET.parse().expect("a secret"));
        tcp.duplicate_connect().disable_sqflow().hdr_digest();
        tcp.data_digest().discovery().tls();
        tcp
    }

    fn cases() -> Vec<(&'static str, ConnectOptionsBuilder)> {
        let mut minimal = builder(Transport::Tcp);
        minimal.traddr("192.0.2.1");
        let mut off = builder(Transport::Tcp);
        off.traddr("fe80:0::1%eth0");
        off.ctrl_loss_tmo(ControllerLoss::Never)
            .fast_io_fail_tmo(FastIoFail::Off);
        let mut concat = with_host(builder(Transport::Tcp));
        concat.traddr("192.0.2.1").concat();
        concat.dhchap_secret(SECRET.parse().expect("a secret"));
        let mut rdma = with_host(builder(Transport::Rdma));
        rdma.traddr("::ffff:192.0.2.1").tos(0).nr_poll_queues(4);
        let mut fc = with_host(builder(Transport::Fc));
        fc.traddr("nn-0x20000090FAE06325:pn-0x20000090FAE06326");
        fc.host_traddr("nn-0x10000090fae06325:pn-0x10000090fae06326");
        let mut discovery = with_host(ConnectOptions::builder(Transport::Tcp, Nqn::discovery()));
        discovery
            .traddr("192.0.2.1")
            .keep_alive_tmo(Duration::from_secs(30));
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
