//! What the guest's programs have said, kept on the host.

use std::fs;

use kernel_lab::cluster::order::Order;

use crate::cluster::Cluster;
use crate::lab;

const DIRECTORIES: [&str; 2] = ["/var/log/lab", "/var/log/pods"];

/// Copies every log to `target/lab/logs/cluster/WHEN`, in the place of those that are there.
pub(crate) fn save(cluster: &Cluster, when: &str) {
    let directory = lab::logs().join(when);
    for below in DIRECTORIES {
        // A guest that does not answer any more has its console's log.
        let Ok(list) = cluster.machine.order(&Order::List(below.to_owned())) else {
            return;
        };
        for path in String::from_utf8_lossy(&list).lines() {
            let Ok(bytes) = cluster.machine.order(&Order::Read(path.to_owned())) else {
                continue;
            };
            let file = directory.join(path.trim_start_matches('/'));
            let parent = file.parent().expect("it is below the directory");
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&file, bytes));
            if let Err(error) = written {
                eprintln!("lab: {}: {error}", file.display());
            }
        }
    }
    eprintln!("lab: logs of the cluster are in {}", directory.display());
}
