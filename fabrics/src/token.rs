//! The option tokens of `/dev/nvme-fabrics` and which transport takes which.
//!
//! Source: `opt_tokens` in the kernel's `drivers/nvme/host/fabrics.c`, and `required_opts` and
//! `allowed_opts` of each transport driver. The flags stand in the order of the kernel's table,
//! and [`encode`](crate::ConnectOptions::encode) writes them in that order.

use std::fmt;

use nvme_sysfs::Transport;

/// Longest text the kernel takes: one page, less the NUL it appends.
pub const MAX_ENCODED: usize = 4095;

bitflags::bitflags! {
    /// A set of option tokens. A flag's name in lower case is the kernel's token.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct TokenSet: u32 {
        /// Which transport driver makes the controller.
        const TRANSPORT = 1 << 0;
        /// Address of the subsystem's port.
        const TRADDR = 1 << 1;
        /// Service at that address: the TCP or RDMA port.
        const TRSVCID = 1 << 2;
        /// NQN of the subsystem.
        const NQN = 1 << 3;
        /// Entries of each I/O queue.
        const QUEUE_SIZE = 1 << 4;
        /// Number of I/O queues.
        const NR_IO_QUEUES = 1 << 5;
        /// Seconds between two reconnect attempts.
        const RECONNECT_DELAY = 1 << 6;
        /// Seconds until the kernel gives a lost controller up.
        const CTRL_LOSS_TMO = 1 << 7;
        /// Keep-alive interval in seconds.
        const KEEP_ALIVE_TMO = 1 << 8;
        /// NQN of this host.
        const HOSTNQN = 1 << 9;
        /// Source address.
        const HOST_TRADDR = 1 << 10;
        /// Source interface.
        const HOST_IFACE = 1 << 11;
        /// UUID of this host.
        const HOSTID = 1 << 12;
        /// Connect although the same controller exists.
        const DUPLICATE_CONNECT = 1 << 13;
        /// No submission queue flow control.
        const DISABLE_SQFLOW = 1 << 14;
        /// CRC over PDU headers.
        const HDR_DIGEST = 1 << 15;
        /// CRC over PDU data.
        const DATA_DIGEST = 1 << 16;
        /// Number of additional queues for writes.
        const NR_WRITE_QUEUES = 1 << 17;
        /// Number of additional polled queues.
        const NR_POLL_QUEUES = 1 << 18;
        /// IP type of service.
        const TOS = 1 << 19;
        /// Keyring to look TLS keys up in.
        const KEYRING = 1 << 20;
        /// The TLS key to use.
        const TLS_KEY = 1 << 21;
        /// Seconds until I/O of a lost path fails.
        const FAST_IO_FAIL_TMO = 1 << 22;
        /// The NQN names a discovery controller (TP8013).
        const DISCOVERY = 1 << 23;
        /// DH-HMAC-CHAP key of this host.
        const DHCHAP_SECRET = 1 << 24;
        /// DH-HMAC-CHAP key that the controller must prove.
        const DHCHAP_CTRL_SECRET = 1 << 25;
        /// TLS on every queue.
        const TLS = 1 << 26;
        /// TLS from the keys that authentication negotiates.
        const CONCAT = 1 << 27;
    }
}

impl TokenSet {
    /// What every transport takes: `NVMF_REQUIRED_OPTS` and `NVMF_ALLOWED_OPTS`.
    const COMMON: TokenSet = TokenSet::TRANSPORT
        .union(TokenSet::NQN)
        .union(TokenSet::QUEUE_SIZE)
        .union(TokenSet::NR_IO_QUEUES)
        .union(TokenSet::KEEP_ALIVE_TMO)
        .union(TokenSet::HOSTNQN)
        .union(TokenSet::HOSTID)
        .union(TokenSet::DUPLICATE_CONNECT)
        .union(TokenSet::DISABLE_SQFLOW)
        .union(TokenSet::DISCOVERY)
        .union(TokenSet::FAST_IO_FAIL_TMO)
        .union(TokenSet::DHCHAP_SECRET)
        .union(TokenSet::DHCHAP_CTRL_SECRET);

    /// What TCP and RDMA take besides.
    const IP: TokenSet = TokenSet::COMMON
        .union(TokenSet::TRADDR)
        .union(TokenSet::TRSVCID)
        .union(TokenSet::RECONNECT_DELAY)
        .union(TokenSet::HOST_TRADDR)
        .union(TokenSet::CTRL_LOSS_TMO)
        .union(TokenSet::NR_WRITE_QUEUES)
        .union(TokenSet::NR_POLL_QUEUES)
        .union(TokenSet::TOS);

    /// What a kernel is assumed to take that cannot list its tokens: the table of 5.16, the last
    /// such release. An older one still answers `EINVAL` for those that it lacks.
    pub const LISTLESS: TokenSet = TokenSet::IP
        .union(TokenSet::HOST_IFACE)
        .union(TokenSet::HDR_DIGEST)
        .union(TokenSet::DATA_DIGEST)
        .difference(TokenSet::DHCHAP_SECRET)
        .difference(TokenSet::DHCHAP_CTRL_SECRET);

    /// The tokens that `transport` takes. The kernel answers any other with `EINVAL`.
    #[must_use]
    pub fn allowed(transport: &Transport) -> TokenSet {
        match transport {
            Transport::Tcp => {
                TokenSet::IP
                    | TokenSet::HOST_IFACE
                    | TokenSet::HDR_DIGEST
                    | TokenSet::DATA_DIGEST
                    | TokenSet::KEYRING
                    | TokenSet::TLS_KEY
                    | TokenSet::TLS
                    | TokenSet::CONCAT
            }
            Transport::Rdma => TokenSet::IP,
            Transport::Fc => {
                TokenSet::COMMON
                    | TokenSet::TRADDR
                    | TokenSet::HOST_TRADDR
                    | TokenSet::RECONNECT_DELAY
                    | TokenSet::CTRL_LOSS_TMO
            }
            Transport::Loop => TokenSet::COMMON | TokenSet::TRADDR,
            Transport::Pcie | Transport::Other(_) => TokenSet::empty(),
        }
    }

    /// The tokens without which `transport` answers `EINVAL`.
    #[must_use]
    pub fn required(transport: &Transport) -> TokenSet {
        let every = TokenSet::TRANSPORT | TokenSet::NQN;
        match transport {
            Transport::Tcp | Transport::Rdma => every | TokenSet::TRADDR,
            Transport::Fc => every | TokenSet::TRADDR | TokenSet::HOST_TRADDR,
            Transport::Loop | Transport::Pcie | Transport::Other(_) => every,
        }
    }

    /// The flag of one kernel token, `None` when this crate does not know it.
    #[must_use]
    pub fn from_token(token: &str) -> Option<TokenSet> {
        TokenSet::all()
            .iter_names()
            .find(|(name, _)| name.to_ascii_lowercase() == token)
            .map(|(_, flag)| flag)
    }

    /// The kernel's spelling of each token in the set, in the order of its table.
    pub fn tokens(self) -> impl Iterator<Item = String> {
        self.iter_names().map(|(name, _)| name.to_ascii_lowercase())
    }
}

/// The tokens separated by `", "`, for messages.
impl fmt::Display for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tokens().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_found_by_its_token() {
        for flag in TokenSet::all().iter() {
            let token = flag.to_string();
            assert_eq!(TokenSet::from_token(&token), Some(flag), "{token}");
        }
        assert_eq!(TokenSet::from_token("recovery_delay"), None);
        assert_eq!(TokenSet::from_token("NQN"), None);
        assert_eq!(TokenSet::from_token(""), None);
    }

    #[test]
    fn what_a_transport_requires_it_also_allows() {
        for transport in [
            Transport::Tcp,
            Transport::Rdma,
            Transport::Fc,
            Transport::Loop,
        ] {
            let missing = TokenSet::required(&transport) - TokenSet::allowed(&transport);
            assert!(missing.is_empty(), "{transport}: {missing}");
        }
    }

    #[test]
    fn masks_are_those_of_the_transport_drivers() {
        let allowed = |transport| TokenSet::allowed(&transport);
        let refused = |transport| TokenSet::all() - allowed(transport);
        assert!(refused(Transport::Tcp).is_empty());
        assert_eq!(
            refused(Transport::Rdma).to_string(),
            "host_iface, hdr_digest, data_digest, keyring, tls_key, tls, concat"
        );
        assert_eq!(
            (allowed(Transport::Rdma) - allowed(Transport::Fc)).to_string(),
            "trsvcid, nr_write_queues, nr_poll_queues, tos"
        );
        assert_eq!(
            (allowed(Transport::Fc) - allowed(Transport::Loop)).to_string(),
            "reconnect_delay, ctrl_loss_tmo, host_traddr"
        );
        assert!(allowed(Transport::Pcie).is_empty());
    }
}
