//! Build script: makes Rust of the two protocol files beside it.
//!
//! protox reads them, so that no `protoc` has to be installed where this is built.

use std::error::Error;

const FILES: [&str; 2] = ["src/csi/csi.proto", "src/csi/pluginregistration.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["src/csi"])?;
    tonic_prost_build::configure()
        // In order, so that of two mistakes it is always the same one that is told.
        .btree_map(".")
        // Clients, which only tests use, connect to Unix sockets by themselves.
        .build_transport(false)
        // An optional call that a server does not have answers UNIMPLEMENTED, as the protocol wants.
        .generate_default_stubs(true)
        .codec_path("crate::csi::codec::SmallCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
