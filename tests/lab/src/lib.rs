//! Real kernels in QEMU.
