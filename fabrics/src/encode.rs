//! The option string that is written to `/dev/nvme-fabrics`.
//!
//! Invariant: splitting the text at commas gives back exactly the options that were set, one
//! piece each, in the order of the kernel's table; numbers are plain decimal, because the kernel
//! reads a leading zero as octal.

use std::fmt::{self, Write};

use nvme_sysfs::{ControllerLoss, FastIoFail};
use zeroize::Zeroizing;

use crate::options::ConnectOptions;
use crate::token::TokenSet;

/// Longest text the kernel takes: one page, less the NUL it appends.
pub const MAX_ENCODED: usize = 4095;

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

/// Writes every option of `options`.
pub(crate) fn encode(options: &ConnectOptions) -> EncodedOptions {
    // Room for anything that can be sent: growing would leave copies of secrets behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX_ENCODED));
    for token in options.tokens().iter() {
        if !text.is_empty() {
            text.push(',');
        }
        write!(text, "{token}").expect("writing to a string cannot fail");
        write_value(&mut text, options, token).expect("writing to a string cannot fail");
    }
    EncodedOptions(text)
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
