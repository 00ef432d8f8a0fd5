//! A real Kubernetes on one node, in a guest: etcd, the API server, its controllers and scheduler, kubelet, containerd and
//! runc, with the product's image in its store and a target behind a link that can be cut.
//!
//! - [`peers`]: the programs of others, built or unpacked once.
//! - [`image`]: container images, built by buildah and put into containerd's store before the guest boots.
//! - [`credentials`], [`settings`]: who is who, and what each program is told.
//! - [`disk`]: the guest's root.
//! - [`order`]: what the host asks of the guest.
//! - [`machine`]: a running guest; [`crate::guest::cluster`] is its other side.

pub mod credentials;
pub mod disk;
pub mod image;
pub mod machine;
pub mod order;
pub mod peers;
pub mod settings;
