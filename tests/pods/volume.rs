//! A volume of a case: its target, its PersistentVolume and its claim, gone with the value.

use std::time::Duration;

use kernel_lab::cluster::order::Order;
use serde_json::Value;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::{self, Mode, PodOptions, VOLUMES, collection};
use crate::pod::Pod;

const MIB: u64 = 64;

/// A volume on the target that a claim is bound to.
pub(crate) struct Volume<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    mode: Mode,
}

impl<'a> Volume<'a> {
    /// In the namespace `default`.
    pub(crate) fn new(cluster: &'a Cluster, name: &'static str, mode: Mode) -> Volume<'a> {
        Volume::new_in(cluster, "default", name, mode)
    }

    pub(crate) fn new_in(
        cluster: &'a Cluster,
        namespace: &'static str,
        name: &'static str,
        mode: Mode,
    ) -> Volume<'a> {
        cluster.order(&Order::Make {
            volume: name.to_owned(),
            mib: MIB,
        });
        cluster.create(VOLUMES, &objects::volume(namespace, name, mode));
        let claims = collection(namespace, "persistentvolumeclaims");
        cluster.create(&claims, &objects::claim(name, mode));
        Volume {
            cluster,
            name,
            namespace,
            mode,
        }
    }

    /// A pod that writes to it.
    pub(crate) fn pod(&self, name: &str) -> Pod<'a> {
        self.pod_with(name, &PodOptions::default())
    }

    pub(crate) fn pod_with(&self, name: &str, options: &PodOptions) -> Pod<'a> {
        let object = objects::pod(name, self.name, self.mode, options);
        Pod::create(self.cluster, self.namespace, name, &object)
    }

    /// Its claim, as the API server has it.
    pub(crate) fn claim(&self) -> Option<Value> {
        self.cluster.get(&self.claim_path())
    }

    /// Waits until the claim is bound.
    pub(crate) fn wait_bound(&self) {
        self.cluster
            .eventually("the claim to be bound", PATIENCE, |_| {
                (self.claim()?["status"]["phase"] == "Bound").then_some(())
            });
    }

    fn claim_path(&self) -> String {
        let claims = collection(self.namespace, "persistentvolumeclaims");
        format!("{claims}/{}", self.name)
    }

    /// Waits until nothing of the volume is left on the node.
    pub(crate) fn wait_unstaged(&self, time: Duration) {
        self.cluster
            .eventually("the volume to leave the node", time, |cluster| {
                let listed = cluster.order(&Order::Run(LIST.to_owned()));
                let nqn = kernel_lab::cluster::settings::nqn(self.name);
                (!listed.contains(&nqn)).then_some(())
            });
    }
}

/// What the product itself says is connected.
const LIST: &str = "/usr/local/bin/nvmeof-csi list-subsys";

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        if self.cluster.machine.is_gone() || std::thread::panicking() {
            // What is left shows in the logs; the next case has volumes of its own.
            return;
        }
        self.cluster.delete(&self.claim_path());
        self.cluster.delete(&format!("{VOLUMES}/{}", self.name));
    }
}
