//! nvmeof-csi.
