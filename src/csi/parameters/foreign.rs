//! What values of the volumes of other drivers stand for.

use nvme_fabrics::TokenSet;

use super::driver::Driver;
use super::keys::Key;

impl Driver {
    /// Whether a value stands for what it is without the key.
    pub(super) fn says_nothing(self, key: Key, value: &str) -> bool {
        let with_zero = TokenSet::CTRL_LOSS_TMO
            | TokenSet::RECONNECT_DELAY
            | TokenSet::KEEP_ALIVE_TMO
            | TokenSet::NR_IO_QUEUES;
        value.is_empty()
            || value == "0" && matches!(key, Key::Tuning(option) if with_zero.contains(option))
    }
}
