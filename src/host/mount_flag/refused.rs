//! Options that are known and must not be used, each with the reason.

const OTHER_MOUNT: &str = "it changes what is mounted or where";
const EXISTING: &str = "it changes an existing mount";
const PROPAGATION: &str =
    "mount propagation belongs to Kubernetes (mountPropagation of the container)";
const NOT_A_DEVICE: &str = "it mounts a file and not a device";
const BARRIER: &str = "without write barriers a power failure loses data";
const OTHER_DEVICE: &str = "it names another device";
const JOURNAL: &str = "the driver decides by itself when a journal is left alone";
const FSTAB: &str = "it means something in fstab only";
const GOES_ON: &str = "the filesystem would go on writing after an error";

/// Whole options.
const EXACT: [(&str, &str); 32] = [
    ("bind", OTHER_MOUNT),
    ("rbind", OTHER_MOUNT),
    ("move", OTHER_MOUNT),
    ("remount", EXISTING),
    ("shared", PROPAGATION),
    ("rshared", PROPAGATION),
    ("slave", PROPAGATION),
    ("rslave", PROPAGATION),
    ("private", PROPAGATION),
    ("rprivate", PROPAGATION),
    ("unbindable", PROPAGATION),
    ("runbindable", PROPAGATION),
    ("loop", NOT_A_DEVICE),
    ("nobarrier", BARRIER),
    ("barrier=0", BARRIER),
    ("journal_async_commit", BARRIER),
    (
        "data=writeback",
        "after a crash, old contents of other files could show up in new ones",
    ),
    (
        "errors=panic",
        "one failed volume would halt the whole node",
    ),
    ("errors=continue", GOES_ON),
    ("noload", JOURNAL),
    ("norecovery", JOURNAL),
    ("abort", "it ends the filesystem"),
    ("test_dummy_encryption", "it is for tests of the kernel"),
    ("test_dummy_encryption_v2", "it is for tests of the kernel"),
    ("auto", FSTAB),
    ("noauto", FSTAB),
    ("nofail", FSTAB),
    ("user", FSTAB),
    ("nouser", FSTAB),
    ("users", FSTAB),
    ("owner", FSTAB),
    ("group", FSTAB),
];

/// Options by what they begin with.
const PREFIXES: [(&str, &str); 14] = [
    ("loop=", NOT_A_DEVICE),
    ("offset=", NOT_A_DEVICE),
    ("sizelimit=", NOT_A_DEVICE),
    ("encryption=", NOT_A_DEVICE),
    ("sb=", "it names another superblock"),
    ("journal_dev=", OTHER_DEVICE),
    ("journal_path=", OTHER_DEVICE),
    ("logdev=", OTHER_DEVICE),
    ("rtdev=", OTHER_DEVICE),
    ("test_dummy_encryption=", "it is for tests of the kernel"),
    ("x-", FSTAB),
    ("X-", FSTAB),
    ("user=", FSTAB),
    ("comment=", FSTAB),
];

/// Why the option must not be used; `None` when it is not known to be harmful.
pub(super) fn find_reason(text: &str) -> Option<&'static str> {
    let exact = EXACT.iter().find(|(option, _)| *option == text);
    let prefix = || PREFIXES.iter().find(|(start, _)| text.starts_with(start));
    exact.or_else(prefix).map(|(_, reason)| *reason)
}

/// Every option of the tables, `…` for what may follow.
pub(super) fn all() -> impl Iterator<Item = (String, &'static str)> {
    let exact = EXACT
        .iter()
        .map(|(name, reason)| ((*name).to_owned(), *reason));
    let prefixes = PREFIXES.iter();
    exact.chain(prefixes.map(|(name, reason)| (format!("{name}…"), *reason)))
}
