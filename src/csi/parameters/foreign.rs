//! What keys and values of the volumes of other drivers stand for.
//!
//! spdk-csi and simplyblock-csi hand every parameter of their StorageClass on to the volume, so nobody can list what there
//! may be. Invariant: a key that may say which namespace is meant, or how it is kept, is never passed over.

use nvme_fabrics::TokenSet;

use super::driver::Driver;
use super::keys::{Key, letters};

/// Parts of names, without `_` and `-`, that only a parameter has.
const TELLING: [&str; 9] = [
    "uuid",
    "guid",
    "eui",
    "nsid",
    "namespace",
    "device",
    "pathloss",
    "multimount",
    "hold",
];

/// Names with such a part that mean something to their driver's controller only: the volume's name there, how many
/// volumes share a subsystem, a number in a table of TrueNAS.
const OWN: [(Driver, &str); 4] = [
    (Driver::Simplyblock, "uuid"),
    (Driver::Simplyblock, "max_namespace_per_subsys"),
    (Driver::Simplyblock, "namespaced"),
    (Driver::Tns, "nvmeofNamespaceID"),
];

impl Driver {
    /// Whether a key that is none of [`Key`] is its controller's own.
    pub(super) fn passes_over(self, name: &str) -> bool {
        let letters = letters(name);
        OWN.contains(&(self, name)) || !TELLING.iter().any(|part| letters.contains(part))
    }

    /// Whether a value stands for what it is without the key: as the driver writes an option that was not set.
    pub(super) fn says_nothing(self, key: Key, value: &str) -> bool {
        let with_zero = TokenSet::CTRL_LOSS_TMO
            | TokenSet::RECONNECT_DELAY
            | TokenSet::KEEP_ALIVE_TMO
            | TokenSet::NR_IO_QUEUES;
        match (self, key, value) {
            (
                Driver::Simplyblock | Driver::Democratic,
                Key::Tuning(_) | Key::HostIface | Key::Transport | Key::Transports,
                "",
            ) => true,
            (Driver::Simplyblock | Driver::Rds, Key::Tuning(option), "0") => {
                with_zero.contains(option)
            }
            _ => false,
        }
    }
}
