//! Real kernels in QEMU, and captured pieces of them, for tests.

pub mod tree;
