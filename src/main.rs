//! nvmeof-csi.
fn main() {}
