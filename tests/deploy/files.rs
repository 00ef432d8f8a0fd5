//! The files of `deploy/`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file or directory of `deploy/`.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// The text of a file of `deploy/`.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The documents of a manifest; a key that is given twice is an error.
pub(crate) fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(&format!("kubernetes/{name}")))
        .unwrap_or_else(|error| panic!("deploy/kubernetes/{name}: {error}"))
}

/// The only document of a manifest.
pub(crate) fn document(name: &str) -> Value {
    let [document] = <[Value; 1]>::try_from(documents(name))
        .unwrap_or_else(|all| panic!("{name} has {} documents", all.len()));
    document
}

/// The text at a key, or a failure that shows what is there.
#[track_caller]
pub(crate) fn string(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value:?}"))
}

/// The list at a key, or a failure that shows what is there.
#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("not a list: {value:?}"))
}
