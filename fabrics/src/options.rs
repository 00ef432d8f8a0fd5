//! What one connect asks of the kernel, option by option.
//!
//! [`ConnectOptions`] can only be had from [`ConnectOptionsBuilder::build`], which applies every
//! rule in `rules.rs`: a value of this type is accepted by the kernel's parser, contains no
//! separator that could inject another option, and has one spelling per address.

use nvme_sysfs::{Nqn, Transport, TransportAddress, Uuid};

use crate::key_serial::KeySerial;
use crate::numeric::NumericAddress;
use crate::portal::Portal;
use crate::secret::Secret;
use crate::token::TokenSet;
use crate::tuning::ConnectTuning;

/// Checked options of one connect. Debug shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    pub(crate) transport: Transport,
    pub(crate) nqn: Nqn,
    pub(crate) address: TransportAddress,
    pub(crate) tuning: ConnectTuning,
    pub(crate) hostnqn: Option<Nqn>,
    pub(crate) hostid: Option<Uuid>,
    pub(crate) keyring: Option<KeySerial>,
    pub(crate) tls_key: Option<KeySerial>,
    pub(crate) dhchap_secret: Option<Secret>,
    pub(crate) dhchap_ctrl_secret: Option<Secret>,
    pub(crate) flags: TokenSet,
}

/// Collects options; nothing is checked before [`build`](ConnectOptionsBuilder::build).
///
/// Each setter is named as the kernel's token. An option that is not set is not sent, so the
/// kernel's default holds; the one exception is `trsvcid`, see [`build`](Self::build).
#[derive(Debug, Clone)]
pub struct ConnectOptionsBuilder {
    pub(crate) draft: ConnectOptions,
}

impl ConnectOptions {
    /// Starts with what every connect needs.
    #[must_use]
    pub fn builder(transport: Transport, nqn: Nqn) -> ConnectOptionsBuilder {
        ConnectOptionsBuilder {
            draft: ConnectOptions {
                transport,
                nqn,
                address: TransportAddress::default(),
                tuning: ConnectTuning::default(),
                hostnqn: None,
                hostid: None,
                keyring: None,
                tls_key: None,
                dhchap_secret: None,
                dhchap_ctrl_secret: None,
                flags: TokenSet::empty(),
            },
        }
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// NQN of the subsystem.
    #[must_use]
    pub fn nqn(&self) -> &Nqn {
        &self.nqn
    }

    /// Where to and from, in canonical spelling.
    #[must_use]
    pub fn address(&self) -> &TransportAddress {
        &self.address
    }

    /// NQN of this host, when given.
    #[must_use]
    pub fn hostnqn(&self) -> Option<&Nqn> {
        self.hostnqn.as_ref()
    }

    /// UUID of this host, when given.
    #[must_use]
    pub fn hostid(&self) -> Option<&Uuid> {
        self.hostid.as_ref()
    }

    /// Whether the kernel makes a discovery controller of it.
    #[must_use]
    pub fn is_discovery(&self) -> bool {
        self.nqn.is_discovery() || self.flags.contains(TokenSet::DISCOVERY)
    }

    /// Whether the kernel is asked to connect although the same controller exists.
    pub(crate) fn allows_duplicate(&self) -> bool {
        self.flags.contains(TokenSet::DUPLICATE_CONNECT)
    }

    /// Every token that [`encode`](Self::encode) writes.
    #[must_use]
    pub fn tokens(&self) -> TokenSet {
        let given = [
            (self.address.traddr.is_some(), TokenSet::TRADDR),
            (self.address.trsvcid.is_some(), TokenSet::TRSVCID),
            (self.address.host_traddr.is_some(), TokenSet::HOST_TRADDR),
            (self.address.host_iface.is_some(), TokenSet::HOST_IFACE),
            (self.hostnqn.is_some(), TokenSet::HOSTNQN),
            (self.hostid.is_some(), TokenSet::HOSTID),
            (self.keyring.is_some(), TokenSet::KEYRING),
            (self.tls_key.is_some(), TokenSet::TLS_KEY),
            (self.dhchap_secret.is_some(), TokenSet::DHCHAP_SECRET),
            (
                self.dhchap_ctrl_secret.is_some(),
                TokenSet::DHCHAP_CTRL_SECRET,
            ),
        ];
        given
            .into_iter()
            .filter(|(given, _)| *given)
            .map(|(_, token)| token)
            .chain([self.flags, self.tuning.tokens()])
            .fold(TokenSet::TRANSPORT | TokenSet::NQN, TokenSet::union)
    }

    /// The TCP portal behind these options, `None` for any other transport.
    #[must_use]
    pub fn portal(&self) -> Option<Portal> {
        if self.transport != Transport::Tcp {
            return None;
        }
        let numeric = |text: &Option<String>| -> Option<NumericAddress> {
            text.as_ref().and_then(|text| text.parse().ok())
        };
        Some(Portal {
            traddr: numeric(&self.address.traddr)?,
            port: self.address.trsvcid.as_ref()?.parse().ok()?,
            host_traddr: numeric(&self.address.host_traddr),
            host_iface: self.address.host_iface.clone(),
        })
    }
}

impl ConnectOptionsBuilder {
    /// Address of the subsystem's port: IP address, FC WWNs, or any name for `loop`.
    pub fn traddr(&mut self, value: impl Into<String>) -> &mut Self {
        self.draft.address.traddr = Some(value.into());
        self
    }

    /// TCP or RDMA port, 1 to 65535.
    pub fn trsvcid(&mut self, value: impl Into<String>) -> &mut Self {
        self.draft.address.trsvcid = Some(value.into());
        self
    }

    /// Source address, of the same family as `traddr`.
    pub fn host_traddr(&mut self, value: impl Into<String>) -> &mut Self {
        self.draft.address.host_traddr = Some(value.into());
        self
    }

    /// Source interface.
    pub fn host_iface(&mut self, value: impl Into<String>) -> &mut Self {
        self.draft.address.host_iface = Some(value.into());
        self
    }

    /// How the connection behaves, instead of what was said before.
    pub fn tuning(&mut self, tuning: ConnectTuning) -> &mut Self {
        self.draft.tuning = tuning;
        self
    }

    /// NQN of this host; goes together with `hostid`.
    pub fn hostnqn(&mut self, nqn: Nqn) -> &mut Self {
        self.draft.hostnqn = Some(nqn);
        self
    }

    /// UUID of this host; goes together with `hostnqn`.
    pub fn hostid(&mut self, uuid: Uuid) -> &mut Self {
        self.draft.hostid = Some(uuid);
        self
    }

    /// DH-HMAC-CHAP key of this host.
    pub fn dhchap_secret(&mut self, secret: Secret) -> &mut Self {
        self.draft.dhchap_secret = Some(secret);
        self
    }

    /// DH-HMAC-CHAP key that the controller must prove; needs `dhchap_secret`.
    pub fn dhchap_ctrl_secret(&mut self, secret: Secret) -> &mut Self {
        self.draft.dhchap_ctrl_secret = Some(secret);
        self
    }

    /// Keyring to look TLS keys up in; needs `tls` or `concat`. Default `.nvme`.
    pub fn keyring(&mut self, serial: KeySerial) -> &mut Self {
        self.draft.keyring = Some(serial);
        self
    }

    /// The TLS key to use; needs `tls`. Default: looked up by the NQNs.
    pub fn tls_key(&mut self, serial: KeySerial) -> &mut Self {
        self.draft.tls_key = Some(serial);
        self
    }

    /// Connects although the same controller exists.
    pub fn duplicate_connect(&mut self) -> &mut Self {
        self.flag(TokenSet::DUPLICATE_CONNECT)
    }

    /// The NQN names a discovery controller although it is not the well-known one.
    pub fn discovery(&mut self) -> &mut Self {
        self.flag(TokenSet::DISCOVERY)
    }

    /// TLS on every queue.
    pub fn tls(&mut self) -> &mut Self {
        self.flag(TokenSet::TLS)
    }

    /// TLS from the keys of authentication; needs `dhchap_secret`, excludes `tls`.
    pub fn concat(&mut self) -> &mut Self {
        self.flag(TokenSet::CONCAT)
    }

    fn flag(&mut self, token: TokenSet) -> &mut Self {
        self.draft.flags |= token;
        self
    }
}
