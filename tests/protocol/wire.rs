//! The committed code of the wire against what the protocol files give now: whoever builds the program
//! needs no generator.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;

/// The protocol files, each with the name that the generator gives its code.
const FILES: [(&str, &str); 2] = [
    ("csi.proto", "csi.v1.rs"),
    ("pluginregistration.proto", "pluginregistration.rs"),
];
/// Set to 1, it has the code written instead of compared.
const REWRITE: &str = "REWRITE_WIRE";
pub(crate) const NAME: &str = "wire_code_is_what_the_protocol_files_give";

pub(crate) fn wire_code_is_what_the_protocol_files_give() -> Result<(), Failed> {
    let sources = crate::source("");
    let generated = generate(&sources)?;
    let committed = sources.join("wire");
    if std::env::var_os(REWRITE).is_some_and(|value| value == "1") {
        for (name, code) in &generated {
            fs::write(committed.join(name), code)?;
        }
        return Ok(());
    }
    let differs = |(name, code): &&(&str, String)| {
        fs::read_to_string(committed.join(name)).ok().as_ref() != Some(code)
    };
    let differing: Vec<&str> = generated
        .iter()
        .filter(differs)
        .map(|(name, _)| *name)
        .collect();
    match differing.as_slice() {
        [] => Ok(()),
        names => Err(Failed::from(format!(
            "src/csi/wire: not what the protocol files give: {}; write them anew by\n    \
             {REWRITE}=1 cargo test --test protocol {NAME}",
            names.join(", ")
        ))),
    }
}

/// The code of each protocol file, with the name of its file.
fn generate(sources: &Path) -> Result<Vec<(&'static str, String)>, Failed> {
    let directory = tempfile::tempdir()?;
    let protocols: Vec<PathBuf> = FILES.map(|(protocol, _)| sources.join(protocol)).into();
    tonic_prost_build::configure()
        // In order, so that of two mistakes it is always the same one that is told.
        .btree_map(".")
        // Clients, which only tests use, connect to Unix sockets by themselves.
        .build_transport(false)
        // An optional call that a server does not have answers UNIMPLEMENTED, as the protocol wants.
        .generate_default_stubs(true)
        .codec_path("crate::csi::codec::SmallCodec")
        .out_dir(directory.path())
        // protox reads the files, so that no `protoc` has to be installed.
        .compile_fds(protox::compile(protocols, [sources])?)?;
    let with_header = |(protocol, name): (&str, &'static str)| {
        let code = fs::read_to_string(directory.path().join(name))?;
        Ok((name, format!("{}{code}", header(protocol))))
    };
    FILES.into_iter().map(with_header).collect()
}

fn header(protocol: &str) -> String {
    format!("// Generated from {protocol} by the test `{NAME}`; do not edit.\n")
}
