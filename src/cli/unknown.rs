//! What a listing could not read.

use nvme_sysfs::Unknown;

/// It is told of; the rest is listed.
pub(super) fn tell_unknown<'a>(unknown: impl IntoIterator<Item = &'a Unknown>) {
    for unknown in unknown {
        tracing::warn!(%unknown, "the listing is not complete");
    }
}
